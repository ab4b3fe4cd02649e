import { SetTable } from './set-table.ts';
import { entrySpan, maskHi, maskLo } from './span.ts';

/** Address bits that name an entry, by level. */
const NAME_HI = Int32Array.from([0, 1, 2, 3, 4, 5], (level) => maskHi(entrySpan(level)));
const NAME_LO = Int32Array.from([0, 1, 2, 3, 4, 5], (level) => maskLo(entrySpan(level)));

/** Payload of a paging-structure slot: the table an entry points to, its low twelve bits the rights gathered so far. */
export const TABLE = { HI: 0, LO: 1 } as const;
export const TABLE_RIGHTS = 0xfff;

const SLOT_LG2 = 1;
const BOUND_LG2 = 12;
const DID_MASK = 0xffff;
const LEVEL_SHIFT = 16;
const COUNTERS = 1024;

/** Which counter a domain's region of 2^39 bytes falls on. */
const regionOf = (did: number, pasid: number, hi: number): number =>
  (Math.imul(did ^ (pasid << 3), 0x9e3779b1) ^ Math.imul(hi >>> 7, 0x85ebca6b)) >>> 22;

/**
 * Non-leaf paging entries by domain, PASID (first stage; -1 in the second) and input address. An entry of level `n`
 * leads to the table of level `n - 1`. VT-d 6.2.5. The first walk through a region of 2^39 bytes keeps only the entry
 * nearest the leaf, later ones keep all: keeping everything at once would cost a cold walk a third more.
 */
export class PagingCache {
  readonly table = new SetTable(SLOT_LG2, BOUND_LG2);
  /** Live slots by region, so that a walk where nothing is known yet asks once instead of once a level. */
  private readonly regions = new Int32Array(COUNTERS);

  get data(): Int32Array {
    return this.table.data;
  }

  /** False: nothing but perhaps a level-5 slot serves this address. */
  mayKnow(did: number, pasid: number, hi: number): boolean {
    return this.regions[regionOf(did, pasid, hi)] !== 0;
  }

  lookup(level: number, did: number, pasid: number, hi: number, lo: number): number {
    return this.table.find(did | (level << LEVEL_SHIFT), pasid, hi & NAME_HI[level]!, lo & NAME_LO[level]!);
  }

  /** For an entry that {@link lookup} does not find. `next` is the next table's page-aligned address with the rights in its low bits. */
  add(level: number, did: number, pasid: number, hi: number, lo: number, nextHi: number, next: number): void {
    const { table } = this;
    const key = did | (level << LEVEL_SHIFT);
    const keyHi = hi & NAME_HI[level]!;
    const keyLo = lo & NAME_LO[level]!;
    let at = table.insert(key, pasid, keyHi, keyLo);
    if (at < 0) {
      this.remove(table.victim(key, pasid, keyHi, keyLo));
      at = table.insert(key, pasid, keyHi, keyLo);
    }
    table.data[at + TABLE.HI] = nextHi;
    table.data[at + TABLE.LO] = next;
    this.regions[regionOf(did, pasid, keyHi)]!++;
  }

  clear(): void {
    if (this.table.live === 0) return;
    this.regions.fill(0);
    this.table.clear();
  }

  /** Entries of a domain (and PASID, when `pasid` ≥ 0) over the 2^`rangeLg2` bytes around an address; 64 = all. */
  drop(did: number, pasid: number, rangeLg2: number, hi: number, lo: number): void {
    const { table } = this;
    if (table.live === 0) return;
    const { tags } = table;
    for (let at = 0; at < table.end; at += table.step) {
      const tag = table.tagOf(at);
      if (!table.isLive(at) || (tags[tag]! & DID_MASK) !== did || (pasid >= 0 && tags[tag + 1] !== pasid)) continue;
      const wider = Math.max(rangeLg2, entrySpan(table.keyOf(at) >>> LEVEL_SHIFT));
      if (((tags[tag + 2]! ^ hi) & maskHi(wider)) === 0 && ((tags[tag + 3]! ^ lo) & maskLo(wider)) === 0)
        this.remove(at);
    }
  }

  private remove(at: number): void {
    const { table } = this;
    const tag = table.tagOf(at);
    const did = table.keyOf(at) & DID_MASK;
    this.regions[regionOf(did, table.tags[tag + 1]!, table.tags[tag + 2]!)]!--;
    table.remove(at);
  }
}
