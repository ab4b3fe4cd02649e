import { PAYLOAD, SLOT_WORDS, SlotTable } from './slot-table.ts';

/** Payload of a context-cache slot. {@link CODE} is 0 for a usable entry, else the fault it answers (CM=1 only). */
export const CONTEXT = {
  CODE: PAYLOAD,
  FPD: PAYLOAD + 1,
  DID: PAYLOAD + 2,
  /** Legacy: TT. Scalable: the entry's low word. */
  KIND: PAYLOAD + 3,
  /** Legacy: levels of the second stage. Scalable: the highest PASID the directory holds. */
  LIMIT: PAYLOAD + 4,
  TABLE_HI: PAYLOAD + 5,
  TABLE_LO: PAYLOAD + 6,
  RID_PASID: PAYLOAD + 7,
  RID_PRIV: PAYLOAD + 8,
} as const;

const BOUND_LG2 = 12;

/** FM: which bits of the function number a device-selective invalidation leaves out of the comparison. */
const FUNCTION_MASKS = [0xffff, 0xfffb, 0xfff9, 0xfff8];

/** Context entries by source-id. VT-d 6.2.2. */
export class ContextCache extends SlotTable {
  constructor() {
    super(BOUND_LG2);
  }

  lookup(sid: number): number {
    return this.find(sid, 0, 0, 0);
  }

  add(sid: number): number {
    return this.insert(sid, 0, 0, 0);
  }

  dropDomain(did: number): void {
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS)
      if (this.isLive(at) && this.data[at + CONTEXT.DID] === did) this.remove(at);
  }

  /** `did` < 0: any. Entries that cache a fault are tagged with domain 0 (caching mode). */
  dropDevice(sid: number, functionMask: number, did: number): void {
    const mask = FUNCTION_MASKS[functionMask & 3]!;
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) {
      if (!this.isLive(at) || (this.data[at]! & mask) !== (sid & mask)) continue;
      if (did < 0 || this.data[at + CONTEXT.DID] === did) this.remove(at);
    }
  }
}
