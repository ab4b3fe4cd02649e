import { enlarged } from './pair-map.ts';
import type { Tags } from './tags.ts';
import { ENTRY, ENTRY_LG2, FLAGS_SHIFT, SIZE_MASK, shapeLeaf } from './translation-entry.ts';

// V8 folds a module's own constants into the code and loads imported ones every time.
const { TAG, IN_HI, IN_LO, OUT_HI, OUT_LO, CHAIN, PREVIOUS, NEXT } = ENTRY;
const WORDS_LG2 = ENTRY_LG2;
const WORDS = 1 << WORDS_LG2;
const HIGH = FLAGS_SHIFT;

/** What the cache knows of a tag, four words each: first entry, entries, sizes since it was empty, largest split leaf. */
const BY_TAG = { FIRST: 0, COUNT: 1, SIZES: 2, SPLIT: 3 } as const;
const { FIRST, COUNT, SIZES, SPLIT } = BY_TAG;

/** Pages from 4 KiB up: bit n of a size mask is 2^(12+n) bytes. */
const SMALLEST = 12;

/**
 * Cached translations. Nothing here is architectural: entries come in eagerly and go only on command, or round robin
 * when the cache is full, so that a missing invalidation shows. Entries of one tag hang together, and a tag knows the
 * page sizes it holds; so lookups try few sizes and invalidations touch what they hit.
 *
 * Every page has a home among the first `homes` entries, next to its neighbours' homes; an entry whose home is taken
 * goes to the overflow behind them and hangs on its home's chain. So most searches touch one entry, and a search through
 * neighbouring pages touches neighbouring memory.
 *
 * Translations do not need the lists by tag: new entries wait, and join theirs when the next command comes.
 */
export class TranslationCache {
  words: Int32Array;
  /** Two words an entry: an address in the page between the stages, where both translate. */
  between: Int32Array;
  size = 0;
  readonly limit: number;
  private readonly tags: Tags;
  private homes: number;
  private shift: number;
  /** Entries there is room for: half the homes, so that few are taken; all of them when there cannot be more. */
  private capacity: number;
  /** Overflow entries that were given back (0 = none) and the first that never was used. */
  private free = 0;
  private fresh: number;
  private hand = 0;
  /** The last entry that came in since the last command (-1 = none); the others follow by NEXT. */
  private waiting = -1;
  /** By tag, {@link BY_TAG}. */
  private byTag: Int32Array;

  /** `limit` is the greatest number of entries, a power of two of at least 64. */
  constructor(tags: Tags, limit: number) {
    this.tags = tags;
    this.limit = limit;
    this.homes = Math.min(1024, limit);
    this.shift = 32 - Math.log2(this.homes);
    this.capacity = this.homes < limit ? this.homes / 2 : limit;
    this.fresh = this.homes * WORDS;
    this.words = new Int32Array((this.homes + this.capacity) * WORDS);
    this.between = new Int32Array(this.words.length >>> 2);
    this.byTag = new Int32Array(64 * 4);
  }

  /** The entry that translates an address under a tag, or -1. The smallest page wins. */
  find(tag: number, hi: number, lo: number): number {
    for (let sizes = this.sizesOf(tag); sizes !== 0; sizes &= sizes - 1) {
      const lg2 = SMALLEST + 31 - Math.clz32(sizes & -sizes);
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
    const place = pageLo | lg2;
    let at = this.home(tag, pageHi, pageLo);
    do {
      if (words[at | IN_LO] === place && words[at | IN_HI] === pageHi && words[at | TAG] === tag) return at;
      at = words[at | CHAIN]!;
    } while (at !== 0);
    return -1;
  }

  /** A new entry for the page of 2^lg2 bytes around an address. `flags`: 12 bits; `shape`: {@link leafShape}. */
  insert(
    tag: number,
    hi: number,
    lo: number,
    lg2: number,
    outHi: number,
    outLo: number,
    flags: number,
    shape: number,
  ): number {
    if (this.size === this.capacity) this.makeRoom();
    const words = this.words;
    const pageHi = lg2 < 32 ? hi : hi & (-1 << (lg2 - 32));
    const pageLo = lg2 < 32 ? lo & (-1 << lg2) : 0;
    let at = this.home(tag, pageHi, pageLo);
    if (words[at | IN_LO] !== 0) at = this.spill(at);
    // `| 0` tells V8 that an argument is an integer; a store alone would go through a double.
    words[at | TAG] = tag | 0;
    words[at | IN_HI] = pageHi | 0;
    words[at | IN_LO] = pageLo | lg2;
    words[at | OUT_HI] = outHi | (flags << HIGH);
    words[at | OUT_LO] = outLo | shape;
    words[at | NEXT] = this.waiting;
    this.waiting = at;
    this.size++;
    const size = 1 << (lg2 - SMALLEST);
    if ((this.sizesOf(tag) & size) === 0) this.admit(tag, size);
    return at;
  }

  remove(at: number): void {
    this.settle();
    const { words, byTag } = this;
    const tag = words[at | TAG]!;
    const record = tag << 2;
    const before = words[at | PREVIOUS]!;
    const after = words[at | NEXT]!;
    if (before >= 0) words[before | NEXT] = after;
    else byTag[record | FIRST] = after;
    if (after >= 0) words[after | PREVIOUS] = before;
    if (at >= this.homes << WORDS_LG2) this.unchain(at);
    words[at | IN_LO] = 0;
    this.size--;
    if (--byTag[record | COUNT]! > 0) return;
    byTag[record | SIZES] = 0;
    byTag[record | SPLIT] = 0;
    this.tags.release(tag);
  }

  /** Number of entries under a tag. */
  countOf(tag: number): number {
    this.settle();
    const record = tag << 2;
    return record < this.byTag.length ? this.byTag[record | COUNT]! : 0;
  }

  /** Bit n: the tag may have entries of 2^(12+n) bytes. */
  sizesOf(tag: number): number {
    const record = tag << 2;
    return record < this.byTag.length ? this.byTag[record | SIZES]! : 0;
  }

  /** log2 of the largest leaf of this tag of which only pieces are cached; 0 = none. */
  splitOf(tag: number): number {
    this.settle();
    const record = tag << 2;
    return record < this.byTag.length ? this.byTag[record | SPLIT]! : 0;
  }

  /** The first entry of a tag that has some; go on with {@link following}. */
  firstOf(tag: number): number {
    this.settle();
    return this.byTag[(tag << 2) | FIRST]!;
  }

  following(at: number): number {
    return this.words[at | NEXT]!;
  }

  dropTag(tag: number): void {
    let left = this.countOf(tag);
    while (left-- > 0) this.remove(this.firstOf(tag));
  }

  /** Drops everything. */
  clear(): void {
    for (let record = 0; record < this.byTag.length; record += 4) this.dropTag(record >>> 2);
    this.free = 0;
    this.fresh = this.homes * WORDS;
  }

  /** The entry that is looked at first for a page. Sixteen neighbours have theirs side by side. */
  private home(tag: number, hi: number, lo: number): number {
    const mixed = Math.imul(hi ^ Math.imul(tag | 0, 0x85ebca6b), 0xc2b2ae35) ^ (lo >>> 16);
    return ((Math.imul(mixed, 0x9e3779b1) >>> this.shift) << WORDS_LG2) ^ ((lo >>> 9) & 0x78);
  }

  /** An entry in the overflow, on the chain of a home. */
  private spill(home: number): number {
    const words = this.words;
    let at = this.free;
    if (at !== 0) this.free = words[at | NEXT]!;
    else {
      at = this.fresh;
      this.fresh += WORDS;
    }
    words[at | CHAIN] = words[home | CHAIN]!;
    words[home | CHAIN] = at;
    return at;
  }

  private unchain(at: number): void {
    const words = this.words;
    let before = this.home(words[at | TAG]!, words[at | IN_HI]!, words[at | IN_LO]!);
    while (words[before | CHAIN] !== at) before = words[before | CHAIN]!;
    words[before | CHAIN] = words[at | CHAIN]!;
    words[at | NEXT] = this.free;
    this.free = at;
  }

  /** The first entry of a size under a tag: lookups try it from now on. A tag is kept as long as it has entries. */
  private admit(tag: number, size: number): void {
    const at = (tag << 2) | SIZES;
    if (at >= this.byTag.length) this.growTags(at);
    if (this.byTag[at] === 0) this.tags.retain(tag);
    this.byTag[at]! |= size;
  }

  /** Hangs what came in since the last command on its tags. */
  private settle(): void {
    const words = this.words;
    while (this.waiting >= 0) {
      const at = this.waiting;
      this.waiting = words[at | NEXT]!;
      this.link(at, words[at | TAG]! << 2);
    }
  }

  private link(at: number, record: number): void {
    const { words, byTag } = this;
    const count = byTag[record | COUNT]!;
    const head = count === 0 ? -1 : byTag[record | FIRST]!;
    words[at | PREVIOUS] = -1;
    words[at | NEXT] = head;
    if (head >= 0) words[head | PREVIOUS] = at;
    byTag[record | FIRST] = at;
    byTag[record | COUNT] = count + 1;
    const leafLg2 = shapeLeaf(words[at | OUT_LO]!);
    if (leafLg2 > (words[at | IN_LO]! & SIZE_MASK) && leafLg2 > byTag[record | SPLIT]!) byTag[record | SPLIT] = leafLg2;
  }

  private makeRoom(): void {
    this.settle();
    if (this.homes < this.limit) {
      this.grow();
      return;
    }
    while (this.words[this.hand | IN_LO] === 0) this.advance();
    this.remove(this.hand);
    this.advance();
  }

  private advance(): void {
    this.hand = this.hand + WORDS >= this.fresh ? 0 : this.hand + WORDS;
  }

  /** Twice the room. Homes change: every entry moves. */
  private grow(): void {
    const { words, between, byTag } = this;
    this.homes *= 2;
    this.shift--;
    this.capacity = this.homes < this.limit ? this.homes / 2 : this.limit;
    this.free = 0;
    this.fresh = this.homes * WORDS;
    this.hand = 0;
    this.words = new Int32Array((this.homes + this.capacity) * WORDS);
    this.between = new Int32Array(this.words.length >>> 2);
    for (let record = 0; record < byTag.length; record += 4) {
      let from = byTag[record | FIRST]!;
      let last = -1;
      for (let left = byTag[record | COUNT]!; left > 0; left--) {
        last = this.move(words, from, record, last);
        this.between[last >>> 2] = between[from >>> 2]!;
        this.between[(last >>> 2) + 1] = between[(from >>> 2) + 1]!;
        from = words[from | NEXT]!;
      }
    }
  }

  /** Takes over an entry of the words before a {@link grow}, behind `last` in its tag's list. */
  private move(old: Int32Array, from: number, record: number, last: number): number {
    let at = this.home(old[from | TAG]!, old[from | IN_HI]!, old[from | IN_LO]!);
    const words = this.words;
    if (words[at | IN_LO] !== 0) at = this.spill(at);
    const chain = words[at | CHAIN]!;
    for (let word = 0; word < WORDS; word++) words[at | word] = old[from | word]!;
    words[at | CHAIN] = chain;
    words[at | PREVIOUS] = last;
    words[at | NEXT] = -1;
    if (last >= 0) words[last | NEXT] = at;
    else this.byTag[record | FIRST] = at;
    return at;
  }

  private growTags(record: number): void {
    let length = this.byTag.length;
    while (length <= record) length *= 2;
    this.byTag = enlarged(this.byTag, length);
  }
}
