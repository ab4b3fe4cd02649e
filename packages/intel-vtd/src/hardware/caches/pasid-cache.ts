import { CODE_MASK } from './context-cache.ts';
import { SetTable } from './set-table.ts';

/** Payload of a PASID-cache slot. */
export const PASID = {
  /** As in the context cache: fault or 0, and FPD_SEEN. */
  CODE: 0,
  DID: 1,
  /** PGTT and the attribute bits below. */
  FLAGS: 2,
  SS_LEVELS: 3,
  SS_HI: 4,
  SS_LO: 5,
  FS_HI: 6,
  FS_LO: 7,
} as const;
const SLOT_LG2 = 3;
const BOUND_LG2 = 11;

/** Bits of FLAGS; the low three are PGTT. */
export const PASID_FLAG = { SSADE: 8, SNOOPED: 16, SRE: 32, WPE: 64, EAFE: 128, FIVE_LEVELS: 256 } as const;

/** PASID entries by source-id and PASID; a request without PASID looks up its RID_PASID. VT-d 6.2.2. */
export class PasidCache {
  readonly table = new SetTable(SLOT_LG2, BOUND_LG2);
  /** The last lookup, found or not; forgotten with every change. */
  private lastSid = -1;
  private lastPasid = -1;
  private lastAt = -1;

  get data(): Int32Array {
    return this.table.data;
  }

  lookup(sid: number, pasid: number): number {
    if (sid !== this.lastSid || pasid !== this.lastPasid) {
      this.lastAt = this.table.find(sid, pasid, 0, 0);
      this.lastSid = sid;
      this.lastPasid = pasid;
    }
    return this.lastAt;
  }

  add(sid: number, pasid: number): number {
    this.lastSid = -1;
    const { table } = this;
    const at = table.insert(sid, pasid, 0, 0);
    if (at >= 0) return at;
    table.remove(table.victim(sid, pasid, 0, 0));
    return table.insert(sid, pasid, 0, 0);
  }

  clear(): void {
    this.lastSid = -1;
    this.table.clear();
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
    this.lastSid = -1;
    const { table } = this;
    const { data, tags } = table;
    for (let at = 0; at < table.end; at += table.step) {
      if (!table.isLive(at) || (pasid >= 0 && tags[table.tagOf(at) + 1] !== pasid)) continue;
      if (data[at + PASID.DID] === did || (data[at + PASID.CODE]! & CODE_MASK) !== 0) table.remove(at);
    }
  }
}
