import type { Words } from '@iommukit/bits';
import {
  ensure,
  type InvalidationResult,
  IommuError,
  type NativeInvalidation,
  type NestedDomainOps,
} from '@iommukit/core';
import { FSPM, PASID_ENTRY, PGTT } from '../format/index.ts';
import { Attachable } from './attach.ts';
import { CacheTags } from './cache-tags.ts';
import type { VtdDevice } from './device.ts';
import { SharedDid } from './domain-ids.ts';
import type { NestedData } from './nested-data.ts';
import { invalidateEntries } from './nested-invalidation.ts';
import type { SecondStageDomain } from './second-stage-domain.ts';
import type { Attachment, Translation } from './translation.ts';

/** A guest's first stage over a second-stage parent. It has a domain-id of its own, under which both stages are cached. */
export class NestedDomain extends Attachable implements NestedDomainOps, Translation {
  readonly kind = 'nested';
  readonly pgtt = PGTT.NESTED;
  protected readonly translation: Translation = this;
  readonly #parent: SecondStageDomain;
  readonly #data: NestedData;
  readonly #tags: CacheTags;
  readonly #did: SharedDid;

  constructor(parent: SecondStageDomain, data: NestedData) {
    super();
    const { invalidations, features, domainIds } = parent.unit;
    this.#parent = parent;
    this.#data = data;
    this.#tags = new CacheTags(invalidations, features);
    this.#did = new SharedDid(domainIds);
  }

  free(): void {}

  /** Native entries, as `struct iommu_hwpt_vtd_s1_invalidate`. Device TLBs are served as well. */
  invalidate(request: NativeInvalidation): InvalidationResult {
    return this.#parent.unit.gate.run(() =>
      invalidateEntries(request, (start, last, leafOnly) => this.#tags.flush(start, last, leafOnly)),
    );
  }

  /** The guest's wishes against what this unit can do. EINVAL: another table might fit. */
  check(device: VtdDevice, pasid: number): void {
    const { addressWidth, supervisor, extendedAccess } = this.#data;
    const { cap, ecap } = device.unit.features;
    this.#parent.check(device, pasid);
    ensure(
      addressWidth === 48 || addressWidth === 57,
      'EINVAL',
      `a first stage of ${addressWidth} bits does not exist`,
    );
    ensure(addressWidth === 48 || cap.FS5LP, 'EINVAL', 'the unit has no 5-level first stage');
    ensure(!supervisor || ecap.SRS, 'EINVAL', 'the unit takes no supervisor requests');
    ensure(!extendedAccess || ecap.EAFS, 'EINVAL', 'the unit has no extended-accessed flag');
  }

  acquireDid(): number {
    return this.#did.acquire();
  }

  releaseDid(): void {
    this.#did.release();
  }

  contextEntry(): Words {
    throw new IommuError('EINVAL', 'nesting needs scalable mode');
  }

  pasidEntry(did: number): Words {
    const { table, addressWidth, supervisor, extendedAccess, writeProtect } = this.#data;
    return PASID_ENTRY.encode({
      P: true,
      PGTT: PGTT.NESTED,
      DID: did,
      ...this.#parent.entryFields,
      PGSNP: this.#parent.snoops,
      SRE: supervisor,
      FSPM: addressWidth === 57 ? FSPM.LEVELS_5 : FSPM.LEVELS_4,
      WPE: supervisor && writeProtect,
      EAFE: extendedAccess,
      FSPTPTR: table,
    });
  }

  attached(attachment: Attachment): void {
    const { did, pasid, device } = attachment;
    this.#tags.addIotlb(did, pasid);
    if (device.deviceTlb) this.#tags.addDevice(device.sid, pasid, false);
    this.#parent.nestedAttached(attachment);
  }

  detached(attachment: Attachment): void {
    const { did, pasid, device } = attachment;
    this.#tags.removeIotlb(did, pasid);
    if (device.deviceTlb) this.#tags.removeDevice(device.sid, pasid, false);
    this.#parent.nestedDetached(attachment);
  }
}
