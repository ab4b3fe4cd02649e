import { type Tags, WORLD, type World } from './tags.ts';
import type { TranslationCache } from './translation-cache.ts';
import { ENTRY, shapeGranule, shapeLeaf, shapeLevel } from './translation-entry.ts';

/** Addresses in 4 KiB page numbers, exact as doubles up to 2^52. */
const PAGES_PER_HI = 2 ** 20;
const LAST_PAGE = 2 ** 52 - 1;
const FIRST_SIZE = 12;

/** What of an address range is to go, IHI 0070 4.4.1. */
export class RangeFilter {
  /** First and last 4 KiB page, inclusive. */
  first = 0;
  last = 0;
  /** log2 of the granule entries must come from; 0 = any. */
  granuleLg2 = 0;
  /** Level entries must come from; 0 = any. */
  level = 0;
  /** Tables on the way are to stay. */
  leafOnly = false;
}

/** Carries out TLBI commands on the translation cache. Work is proportional to the entries that are touched. */
export class TlbInvalidate {
  private readonly tags: Tags;
  private readonly cache: TranslationCache;
  private readonly tables: TranslationCache;

  constructor(tags: Tags, cache: TranslationCache, tables: TranslationCache) {
    this.tags = tags;
    this.cache = cache;
    this.tables = tables;
  }

  /** All translations of a world under one VMID. */
  vmid(world: World, vmid: number): void {
    this.each(world, vmid, (tag) => this.tag(tag));
  }

  /** All of a world, whatever the VMID. */
  world(world: World): void {
    for (let tag = 0; tag < this.tags.slots; tag++)
      if (this.tags.inUse(tag) && this.tags.worldOf(tag) === world) this.tag(tag);
  }

  /** Non-global translations of one ASID. */
  asid(world: World, vmid: number, asid: number): void {
    for (let aset = 0; aset < 2; aset++) {
      const tag = this.tags.find(world, vmid, asid, aset);
      if (tag >= 0) this.tag(tag);
    }
  }

  /** Addresses of one ASID; global translations of the addresses go too. */
  addressOfAsid(world: World, vmid: number, asid: number, range: RangeFilter): void {
    for (let aset = 0; aset < 2; aset++) {
      const tag = this.tags.find(world, vmid, asid, aset);
      if (tag >= 0) this.range(tag, range);
      const global = this.tags.findGlobal(world, vmid, aset);
      if (global >= 0) this.range(global, range);
    }
  }

  /** Addresses under every ASID of a VMID. */
  addressOfVmid(world: World, vmid: number, range: RangeFilter): void {
    this.each(world, vmid, (tag) => this.range(tag, range));
  }

  /** Stage-2 translations of IPAs; translations of both stages together stay. */
  ipa(vmid: number, range: RangeFilter): void {
    const tag = this.tags.find(WORLD.STAGE2, vmid, 0, 0);
    if (tag >= 0) this.range(tag, range);
  }

  /** Dropping a tag's last entry can end the tag: its successor is taken first. */
  private each(world: World, vmid: number, act: (tag: number) => void): void {
    let tag = this.tags.firstOf(vmid);
    while (tag >= 0) {
      const next = this.tags.following(tag);
      if (this.tags.worldOf(tag) === world) act(tag);
      tag = next;
    }
  }

  /** The first of the two may end the tag; nobody else can take its number in between. */
  private tag(tag: number): void {
    this.cache.dropTag(tag);
    this.tables.dropTag(tag);
  }

  private range(tag: number, range: RangeFilter): void {
    this.rangeOf(this.cache, tag, range);
    if (!range.leafOnly) this.rangeOf(this.tables, tag, range);
  }

  /** By address where that is less work than looking at all entries of the tag. */
  private rangeOf(cache: TranslationCache, tag: number, range: RangeFilter): void {
    const count = cache.countOf(tag);
    if (count === 0) return;
    const first = widen(cache.splitOf(tag), range.first, false);
    const last = widen(cache.splitOf(tag), range.last, true);
    let probes = 0;
    for (let sizes = cache.sizesOf(tag); sizes !== 0; sizes &= sizes - 1) {
      const pages = 2 ** (31 - Math.clz32(sizes & -sizes));
      probes += Math.floor(last / pages) - Math.floor(first / pages) + 1;
    }
    if (probes <= count) this.probe(cache, tag, range, first, last);
    else this.scan(cache, tag, range);
  }

  private probe(cache: TranslationCache, tag: number, range: RangeFilter, first: number, last: number): void {
    for (let sizes = cache.sizesOf(tag); sizes !== 0; sizes &= sizes - 1) {
      const lg2 = FIRST_SIZE + 31 - Math.clz32(sizes & -sizes);
      const pages = 2 ** (lg2 - FIRST_SIZE);
      for (let page = Math.floor(first / pages) * pages; page <= last; page += pages) {
        const at = cache.findSized(tag, Math.floor(page / PAGES_PER_HI) | 0, (page % PAGES_PER_HI) << 12, lg2);
        if (at >= 0 && matches(cache.words, at, range)) cache.remove(at);
      }
    }
  }

  private scan(cache: TranslationCache, tag: number, range: RangeFilter): void {
    let left = cache.countOf(tag);
    let at = cache.firstOf(tag);
    while (left-- > 0) {
      const next = cache.following(at);
      if (matches(cache.words, at, range)) cache.remove(at);
      at = next;
    }
  }
}

function matches(words: Int32Array, at: number, range: RangeFilter): boolean {
  const shape = words[at | ENTRY.OUT_LO]!;
  if (range.granuleLg2 !== 0 && shapeGranule(shape) !== range.granuleLg2) return false;
  if (range.level !== 0 && shapeLevel(shape) !== range.level) return false;
  const pages = 2 ** (shapeLeaf(shape) - FIRST_SIZE);
  const page = pageOf(words[at | ENTRY.IN_HI]!, words[at | ENTRY.IN_LO]!);
  const base = Math.floor(page / pages) * pages;
  return base <= range.last && base + pages - 1 >= range.first;
}

/** Pieces of a larger leaf go with any address of the leaf. `splitLg2`: the largest such leaf, 0 = none. */
function widen(splitLg2: number, page: number, up: boolean): number {
  if (splitLg2 === 0) return page;
  const pages = 2 ** (splitLg2 - FIRST_SIZE);
  const base = Math.floor(page / pages) * pages;
  return up ? base + pages - 1 : base;
}

/** The 4 KiB page number of an address, 0 … 2^52-1. */
export const pageOf = (hi: number, lo: number): number => (hi >>> 0) * PAGES_PER_HI + (lo >>> 12);

/** The last page of `count` pages from `first`; it never wraps. */
export const lastPage = (first: number, count: number): number => Math.min(first + count - 1, LAST_PAGE);
