import type { Words } from '@iommukit/bits';
import type { VtdDevice } from './device.ts';

/** What a context or PASID entry can point at: every domain but the blocked one. */
export interface Translation {
  /** PGTT of its PASID entries; decides how they are invalidated. */
  readonly pgtt: number;
  /** Refuses a device or PASID this cannot serve, before anything is touched. EINVAL, EOPNOTSUPP. */
  check(device: VtdDevice, pasid: number): void;
  /** One more attachment; ENOSPC when the domain needs an id and none is left. */
  acquireDid(): number;
  releaseDid(): void;
  /** Legacy entry with P=1. Never asked of nested domains. */
  contextEntry(did: number, device: VtdDevice): Words;
  /** Scalable-mode entry with P=1. */
  pasidEntry(did: number, device: VtdDevice): Words;
  /** The caches in which translations may now be found, and no longer. */
  attached(attachment: Attachment): void;
  detached(attachment: Attachment): void;
}

/** One entry (or one per alias) that is present and points at a translation. */
export interface Attachment {
  readonly device: VtdDevice;
  /** 0 = requests without PASID. */
  readonly pasid: number;
  readonly translation: Translation;
  readonly did: number;
  /** The entry as it stands in memory. */
  readonly words: Words;
}
