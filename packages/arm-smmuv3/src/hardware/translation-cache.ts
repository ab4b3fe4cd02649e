import { enlarged } from './pair-map.ts';
import type { Tags } from './tags.ts';

/** Where the words of an entry lie; an entry is the index of its first word in {@link TranslationCache.words}. */
export const ENTRY = {
  TAG: 0,
  /** Input page, low bits clear, bits 63:56 a copy of bit 55. */
  IN_HI: 1,
  IN_LO: 2,
  /** log2 of the page this entry answers for. */
  LG2: 3,
  OUT_HI: 4,
  OUT_LO: 5,
  /** Page between the stages; equal to the input or output page where only one stage translates. */
  IPA_HI: 6,
  IPA_LO: 7,
  /** Permission bits and attributes, see permission.ts. */
  FLAGS: 8,
  /** log2 of the leaf that software invalidates: with two stages it may be larger than the entry. */
  LEAF_LG2: 9,
  /** Granule (12, 14, 16) and level of that leaf. */
  GRANULE: 10,
  LEVEL: 11,
  CHAIN: 12,
  PREVIOUS: 13,
  NEXT: 14,
} as const;
const WORDS = 16;
const { TAG, IN_HI, IN_LO, LG2, CHAIN, PREVIOUS, NEXT } = ENTRY;

/** Pages from 4 KiB up: bit n of a size mask is 2^(12+n) bytes. */
const SMALLEST = 12;

/**
 * Cached translations. Nothing here is architectural: entries come in eagerly and go only on command, or round robin
 * when the cache is full, so that a missing invalidation shows. Entries of one tag hang together, and a tag knows the
 * page sizes it holds; so lookups try few sizes and invalidations touch what they hit.
 */
export class TranslationCache {
  words: Int32Array;
  size = 0;
  readonly limit: number;
  private readonly tags: Tags;
  private capacity: number;
  private shift: number;
  /** Two buckets for each entry: most searches end at the first look. */
  private heads: Int32Array;
  private free = -1;
  private fresh = 0;
  private hand = 0;
  /** By tag: first entry, number of entries, and the sizes it had since it last was empty. */
  private first: Int32Array;
  private counts: Int32Array;
  private sizes: Int32Array;
  /** By tag: log2 of the largest leaf of which only pieces are cached; 0 = none. */
  private split: Int32Array;

  /** `limit` is the greatest number of entries, a power of two of at least 64. */
  constructor(tags: Tags, limit: number) {
    this.tags = tags;
    this.limit = limit;
    this.capacity = Math.min(256, limit);
    this.shift = 31 - Math.log2(this.capacity);
    this.words = new Int32Array(this.capacity * WORDS);
    this.heads = new Int32Array(this.capacity * 2).fill(-1);
    this.first = new Int32Array(64).fill(-1);
    this.counts = new Int32Array(64);
    this.sizes = new Int32Array(64);
    this.split = new Int32Array(64);
  }

  /** The entry that translates an address under a tag, or -1. The smallest page wins. */
  find(tag: number, hi: number, lo: number): number {
    if (tag >= this.sizes.length) return -1;
    let sizes = this.sizes[tag]!;
    while (sizes !== 0) {
      const lg2 = SMALLEST + 31 - Math.clz32(sizes & -sizes);
      sizes &= sizes - 1;
      const pageHi = lg2 < 32 ? hi : hi & (-1 << (lg2 - 32));
      const pageLo = lg2 < 32 ? lo & (-1 << lg2) : 0;
      const at = this.findSized(tag, pageHi, pageLo, lg2);
      if (at >= 0) return at;
    }
    return -1;
  }

  /** The entry of exactly this page and size, or -1. */
  findSized(tag: number, pageHi: number, pageLo: number, lg2: number): number {
    const words = this.words;
    let at = this.heads[this.bucket(tag, pageHi, pageLo)]!;
    while (at >= 0) {
      if (
        words[at + IN_LO] === pageLo &&
        words[at + IN_HI] === pageHi &&
        words[at + TAG] === tag &&
        words[at + LG2] === lg2
      )
        return at;
      at = words[at + CHAIN]!;
    }
    return -1;
  }

  /** A new entry for the page; the caller fills in everything after {@link ENTRY.LG2}. */
  insert(tag: number, hi: number, lo: number, lg2: number, leafLg2: number): number {
    const at = this.take();
    const words = this.words;
    words[at + TAG] = tag;
    words[at + IN_HI] = lg2 < 32 ? hi : hi & (-1 << (lg2 - 32));
    words[at + IN_LO] = lg2 < 32 ? lo & (-1 << lg2) : 0;
    words[at + LG2] = lg2;
    words[at + ENTRY.LEAF_LG2] = leafLg2;
    this.chain(at);
    this.count(tag, at, lg2, leafLg2);
    return at;
  }

  remove(at: number): void {
    const words = this.words;
    this.unchain(at);
    const tag = words[at + TAG]!;
    const before = words[at + PREVIOUS]!;
    const after = words[at + NEXT]!;
    if (before >= 0) words[before + NEXT] = after;
    else this.first[tag] = after;
    if (after >= 0) words[after + PREVIOUS] = before;
    words[at + LG2] = 0;
    words[at + NEXT] = this.free;
    this.free = at;
    this.size--;
    if (--this.counts[tag]! > 0) return;
    this.sizes[tag] = 0;
    this.split[tag] = 0;
    this.tags.release(tag);
  }

  /** Number of entries under a tag. */
  countOf(tag: number): number {
    return tag < this.counts.length ? this.counts[tag]! : 0;
  }

  /** Bit n: the tag may have entries of 2^(12+n) bytes. */
  sizesOf(tag: number): number {
    return tag < this.sizes.length ? this.sizes[tag]! : 0;
  }

  /** log2 of the largest leaf of this tag of which only pieces are cached; 0 = none. */
  splitOf(tag: number): number {
    return tag < this.split.length ? this.split[tag]! : 0;
  }

  /** The first entry of a tag, or -1; go on with {@link following}. */
  firstOf(tag: number): number {
    return tag < this.first.length ? this.first[tag]! : -1;
  }

  following(at: number): number {
    return this.words[at + NEXT]!;
  }

  dropTag(tag: number): void {
    let left = this.countOf(tag);
    while (left-- > 0) this.remove(this.first[tag]!);
  }

  /** Drops everything. */
  clear(): void {
    for (let at = 0; at < this.fresh; at += WORDS) if (this.words[at + LG2] !== 0) this.remove(at);
    this.free = -1;
    this.fresh = 0;
  }

  private bucket(tag: number, hi: number, lo: number): number {
    return Math.imul((lo >>> 12) ^ Math.imul(hi ^ Math.imul(tag, 0x85ebca6b), 0xc2b2ae35), 0x9e3779b1) >>> this.shift;
  }

  private chain(at: number): void {
    const words = this.words;
    const bucket = this.bucket(words[at + TAG]!, words[at + IN_HI]!, words[at + IN_LO]!);
    words[at + CHAIN] = this.heads[bucket]!;
    this.heads[bucket] = at;
  }

  private unchain(at: number): void {
    const words = this.words;
    const bucket = this.bucket(words[at + TAG]!, words[at + IN_HI]!, words[at + IN_LO]!);
    if (this.heads[bucket] === at) {
      this.heads[bucket] = words[at + CHAIN]!;
      return;
    }
    let before = this.heads[bucket]!;
    while (words[before + CHAIN] !== at) before = words[before + CHAIN]!;
    words[before + CHAIN] = words[at + CHAIN]!;
  }

  private count(tag: number, at: number, lg2: number, leafLg2: number): void {
    if (tag >= this.first.length) this.growTags(tag);
    if (this.counts[tag]!++ === 0) this.tags.retain(tag);
    const words = this.words;
    const head = this.first[tag]!;
    words[at + PREVIOUS] = -1;
    words[at + NEXT] = head;
    if (head >= 0) words[head + PREVIOUS] = at;
    this.first[tag] = at;
    this.sizes[tag]! |= 1 << (lg2 - SMALLEST);
    if (leafLg2 > lg2 && leafLg2 > this.split[tag]!) this.split[tag] = leafLg2;
    this.size++;
  }

  private take(): number {
    if (this.free < 0 && this.size === this.capacity) this.makeRoom();
    if (this.free >= 0) {
      const at = this.free;
      this.free = this.words[at + NEXT]!;
      return at;
    }
    const at = this.fresh;
    this.fresh += WORDS;
    return at;
  }

  private makeRoom(): void {
    if (this.capacity < this.limit) {
      this.grow();
      return;
    }
    this.remove(this.hand);
    this.hand = this.hand + WORDS === this.words.length ? 0 : this.hand + WORDS;
  }

  private grow(): void {
    this.capacity *= 2;
    this.shift--;
    this.words = enlarged(this.words, this.capacity * WORDS);
    this.heads = new Int32Array(this.capacity * 2).fill(-1);
    for (let at = 0; at < this.fresh; at += WORDS) if (this.words[at + LG2] !== 0) this.chain(at);
  }

  private growTags(tag: number): void {
    const old = this.first.length;
    let length = old;
    while (length <= tag) length *= 2;
    this.first = enlarged(this.first, length).fill(-1, old);
    this.counts = enlarged(this.counts, length);
    this.sizes = enlarged(this.sizes, length);
    this.split = enlarged(this.split, length);
  }
}

/** The level whose tables hold pages only. */
export const LAST_LEVEL = 3;

/**
 * Remembers where the last-level table for an address lies, so that a neighbour's walk is one load; in a cache of its
 * own, which only invalidations with Leaf = 0 reach. Returns the entry.
 */
export function keepTable(
  tables: TranslationCache,
  tag: number,
  hi: number,
  lo: number,
  granuleLg2: number,
  tableHi: number,
  tableLo: number,
): number {
  const span = 2 * granuleLg2 - 3;
  const at = tables.insert(tag, hi, lo, span, span);
  const { words } = tables;
  words[at + ENTRY.OUT_HI] = tableHi;
  words[at + ENTRY.OUT_LO] = tableLo;
  words[at + ENTRY.GRANULE] = granuleLg2;
  words[at + ENTRY.LEVEL] = LAST_LEVEL;
  return at;
}
