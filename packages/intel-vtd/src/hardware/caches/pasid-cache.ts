import { PAYLOAD, SLOT_WORDS, SlotTable } from './slot-table.ts';

/** Payload of a PASID-cache slot. {@link CODE} is 0 for a usable entry, else the fault it answers (CM=1 only). */
export const PASID = {
  CODE: PAYLOAD,
  FPD: PAYLOAD + 1,
  DID: PAYLOAD + 2,
  /** PGTT and the attribute bits below. */
  FLAGS: PAYLOAD + 3,
  SS_LEVELS: PAYLOAD + 4,
  SS_HI: PAYLOAD + 5,
  SS_LO: PAYLOAD + 6,
  FS_HI: PAYLOAD + 7,
  FS_LO: PAYLOAD + 8,
} as const;

/** Bits of {@link PASID.FLAGS}; the low three are PGTT. */
export const PASID_FLAG = { SSADE: 8, SNOOPED: 16, SRE: 32, WPE: 64, EAFE: 128, FIVE_LEVELS: 256 } as const;

const BOUND_LG2 = 13;

/** PASID entries by source-id and PASID; a request without PASID looks up its RID_PASID. VT-d 6.2.2. */
export class PasidCache extends SlotTable {
  constructor() {
    super(BOUND_LG2);
  }

  lookup(sid: number, pasid: number): number {
    return this.find(sid, pasid, 0, 0);
  }

  add(sid: number, pasid: number): number {
    return this.insert(sid, pasid, 0, 0);
  }

  dropDomain(did: number): void {
    this.drop(did, -1);
  }

  /**
   * The source-id does not count. A cached fault goes with its PASID whatever the DID: software that makes an entry
   * present names the new DID, and dropping more than asked is always legal.
   */
  dropPasid(did: number, pasid: number): void {
    this.drop(did, pasid);
  }

  private drop(did: number, pasid: number): void {
    const data = this.data;
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) {
      if (!this.isLive(at) || (pasid >= 0 && data[at + 1] !== pasid)) continue;
      if (data[at + PASID.DID] === did || data[at + PASID.CODE] !== 0) this.remove(at);
    }
  }
}
