import { PAYLOAD, SLOT_WORDS, SlotTable } from './slot-table.ts';
import { entrySpan, maskHi, maskLo, spanMask } from './span.ts';

/** Payload of a paging-structure slot: the table an entry points to, and the rights gathered down to it. */
export const TABLE = { HI: PAYLOAD, LO: PAYLOAD + 1, RIGHTS: PAYLOAD + 2 } as const;

const BOUND_LG2 = 13;
const DID_MASK = 0xffff;
const LEVEL_SHIFT = 16;

/**
 * Non-leaf paging entries by domain, PASID (first stage; -1 in the second) and input address. An entry of level `n`
 * leads to the table of level `n - 1`. VT-d 6.2.5.
 */
export class PagingCache extends SlotTable {
  private readonly perDomain = new Int32Array(DID_MASK + 1);

  constructor() {
    super(BOUND_LG2);
  }

  lookup(level: number, did: number, pasid: number, hi: number, lo: number): number {
    const lg2 = entrySpan(level);
    return this.find(did | (level << LEVEL_SHIFT), pasid, hi & maskHi(lg2), lo & maskLo(lg2));
  }

  add(
    level: number,
    did: number,
    pasid: number,
    hi: number,
    lo: number,
    tableHi: number,
    tableLo: number,
    rights: number,
  ): void {
    const lg2 = entrySpan(level);
    const at = this.insert(did | (level << LEVEL_SHIFT), pasid, hi & maskHi(lg2), lo & maskLo(lg2));
    const data = this.data;
    data[at + TABLE.HI] = tableHi;
    data[at + TABLE.LO] = tableLo;
    data[at + TABLE.RIGHTS] = rights;
    this.perDomain[did]!++;
  }

  override clear(): void {
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) this.perDomain[this.data[at]! & DID_MASK] = 0;
    super.clear();
  }

  /** Entries of a domain (and PASID, when `pasid` ≥ 0) over the 2^`rangeLg2` bytes around an address; 64 = all. */
  drop(did: number, pasid: number, rangeLg2: number, hi: number, lo: number): void {
    if (this.perDomain[did] === 0) return;
    const data = this.data;
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) {
      if (!this.isLive(at) || (data[at]! & DID_MASK) !== did) continue;
      if (pasid >= 0 && data[at + 1] !== pasid) continue;
      const wider = Math.max(rangeLg2, entrySpan(data[at]! >>> LEVEL_SHIFT));
      if (((data[at + 2]! ^ hi) & spanMask(wider, true)) === 0 && ((data[at + 3]! ^ lo) & spanMask(wider, false)) === 0)
        this.remove(at);
    }
  }

  protected override unlinked(at: number): void {
    this.perDomain[this.data[at]! & DID_MASK]!--;
  }
}
