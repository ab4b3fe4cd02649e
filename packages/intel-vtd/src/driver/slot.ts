import type { Words } from '@iommukit/bits';
import type { Attachment } from './translation.ts';

/** The entry (or the entries, one per alias) that decides about one kind of a device's requests. */
export interface Slot {
  /** Makes the tables the entry lies in. Throws ENOMEM; after it, writing cannot fail for want of memory. */
  prepare(): void;
  /** Writes the entry, P last. */
  write(words: Words): void;
  /**
   * Puts `next` in the place of `old` without a moment in which the entry is not present or half of each. False, and
   * nothing done, where hardware cannot read the change as one. May wait for an invalidation.
   */
  swap(old: Attachment, next: Words): boolean;
  /** After a swap, once hardware has forgotten the old entry: clears what the new one ignores. */
  settle(next: Words): void;
  /** P:=0, the rest stays: hardware may be reading it. */
  hide(words: Words): void;
  wipe(): void;
  /** Asks for all that hardware may remember of an entry that stood here, in the order of VT-d 6.5.3.3. */
  dropOld(old: Attachment): void;
  /** The same for the absence of an entry, where the unit remembers such things; else flushes the write buffer. */
  dropAbsence(did: number): void;
}
