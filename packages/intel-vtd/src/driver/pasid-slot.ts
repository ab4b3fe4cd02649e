import type { Words } from '@iommukit/bits';
import { PASID_ENTRY, PGTT } from '../format/index.ts';
import { store64, storePair, storeWords } from './address.ts';
import type { VtdDevice } from './device.ts';
import { WHOLE_SPACE } from './invalidations.ts';
import type { PasidTable } from './pasid-table.ts';
import type { Slot } from './slot.ts';
import type { Attachment } from './translation.ts';

const EMPTY = PASID_ENTRY.encode();
/** Word index of the quadword with SRE, FSPM, WPE, EAFE and FSPTPTR. */
const FIRST = 4;

function usesFirstStage(words: Words): boolean {
  const pgtt = PASID_ENTRY.get(words, 'PGTT');
  return pgtt === PGTT.FIRST_STAGE || pgtt === PGTT.NESTED;
}

/** One PASID table entry of a device. Its directory serves every source-id of the device. */
export class PasidSlot implements Slot {
  readonly #device: VtdDevice;
  readonly #table: PasidTable;
  readonly #pasid: number;

  constructor(device: VtdDevice, table: PasidTable, pasid: number) {
    this.#device = device;
    this.#table = table;
    this.#pasid = pasid;
  }

  prepare(): void {
    this.#table.entry(this.#pasid);
  }

  write(words: Words): void {
    storeWords(this.#memory, this.#table.entry(this.#pasid), words);
  }

  /**
   * Hardware fetches an entry in several reads, in any order; only the first 16 bytes change at once. The first-stage
   * fields lie outside them, so they change while the entry ignores them and nothing remembers or is still fetching an
   * entry that does not: before, with an invalidation in between, or after ({@link settle}). Between two entries that both
   * use them there is no such moment.
   */
  swap({ did, words: old }: Attachment, next: Words): boolean {
    const entry = this.#table.entry(this.#pasid);
    const same = old[FIRST] === next[FIRST] && old[FIRST + 1] === next[FIRST + 1];
    if (!same && usesFirstStage(next)) {
      if (usesFirstStage(old) || PASID_ENTRY.get(next, 'SRE')) return false;
      this.settle(next);
      const { invalidations } = this.#device.unit;
      invalidations.pasidEntry(did, this.#pasid);
      invalidations.sync();
    }
    storePair(this.#memory, entry, next);
    return true;
  }

  settle(next: Words): void {
    const at = this.#table.entry(this.#pasid) + FIRST * 4;
    store64(this.#memory, at, next[FIRST + 1]! | 0, next[FIRST]! | 0);
  }

  hide(words: Words): void {
    store64(this.#memory, this.#table.entry(this.#pasid), words[1]! | 0, words[0]! & ~1);
  }

  wipe(): void {
    this.write(EMPTY);
  }

  /** First-stage and pass-through entries are found by PASID, second-stage and nested ones by domain-id. */
  dropOld({ did, device, translation }: Attachment): void {
    const { invalidations } = device.unit;
    const byDomain = translation.pgtt === PGTT.SECOND_STAGE || translation.pgtt === PGTT.NESTED;
    invalidations.pasidEntry(did, this.#pasid);
    if (byDomain) invalidations.iotlbDomain(did);
    else invalidations.pasidIotlb(did, this.#pasid);
    if (device.deviceTlb) invalidations.deviceTlb(device.sid, this.#pasid, 0, 0, WHOLE_SPACE);
    invalidations.sync();
  }

  /** There is no write buffer to flush: scalable mode excludes RWBF. */
  dropAbsence(did: number): void {
    const { unit } = this.#device;
    const { invalidations } = unit;
    if (!unit.features.cap.CM) return;
    invalidations.pasidEntry(did, this.#pasid);
    invalidations.pasidIotlb(did, this.#pasid);
    invalidations.sync();
  }

  get #memory() {
    return this.#device.unit.ports.memory;
  }
}
