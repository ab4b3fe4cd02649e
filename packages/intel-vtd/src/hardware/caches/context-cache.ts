import { SetTable } from './set-table.ts';

/** Payload of a context-cache slot. */
export const CONTEXT = {
  /** 0 for a usable entry, else the fault it answers (CM=1 only); {@link FPD_SEEN} above it. */
  CODE: 0,
  DID: 1,
  /** Legacy: TT. Scalable: the entry's low twelve bits. */
  KIND: 2,
  /** Legacy: levels of the second stage. Scalable: the highest PASID the directory holds. */
  LIMIT: 3,
  TABLE_HI: 4,
  TABLE_LO: 5,
  RID_PASID: 6,
  RID_PRIV: 7,
} as const;
const SLOT_LG2 = 3;
const BOUND_LG2 = 10;

/** In a CODE word: an FPD bit stood in the entry. */
export const FPD_SEEN = 0x100;
export const CODE_MASK = 0xff;

/** FM: which bits of the function number a device-selective invalidation leaves out of the comparison. */
const FUNCTION_MASKS = [0xffff, 0xfffb, 0xfff9, 0xfff8];

/** Context entries by source-id. VT-d 6.2.2. */
export class ContextCache {
  readonly table = new SetTable(SLOT_LG2, BOUND_LG2);
  /** The last lookup, found or not; forgotten with every change. */
  private lastSid = -1;
  private lastAt = -1;

  /** Payloads; the array is another one after growth. */
  get data(): Int32Array {
    return this.table.data;
  }

  lookup(sid: number): number {
    if (sid !== this.lastSid) {
      this.lastAt = this.table.find(sid, 0, 0, 0);
      this.lastSid = sid;
    }
    return this.lastAt;
  }

  add(sid: number): number {
    this.lastSid = -1;
    const { table } = this;
    const at = table.insert(sid, 0, 0, 0);
    if (at >= 0) return at;
    table.remove(table.victim(sid, 0, 0, 0));
    return table.insert(sid, 0, 0, 0);
  }

  clear(): void {
    this.lastSid = -1;
    this.table.clear();
  }

  dropDomain(did: number): void {
    this.lastSid = -1;
    const { table } = this;
    for (let at = 0; at < table.end; at += table.step)
      if (table.isLive(at) && table.data[at + CONTEXT.DID] === did) table.remove(at);
  }

  /** `did` < 0: any. Entries that cache a fault are tagged with domain 0 (caching mode). */
  dropDevice(sid: number, functionMask: number, did: number): void {
    this.lastSid = -1;
    const { table } = this;
    const mask = FUNCTION_MASKS[functionMask & 3]!;
    for (let at = 0; at < table.end; at += table.step) {
      if (!table.isLive(at) || (table.keyOf(at) & mask) !== (sid & mask)) continue;
      if (did < 0 || table.data[at + CONTEXT.DID] === did) table.remove(at);
    }
  }
}
