/** Ways of a set: their tags fill one 64-byte line. */
const WAYS = 4;
const TAG_LG2 = 2;
const LINE_LG2 = 4;
const FIRST_SETS_LG2 = 4;
/** Bits of the first key word that belong to the key; those above hold the generation. */
const KEY_BITS = 19;
const GENERATION = 1 << KEY_BITS;
const KEY_MASK = GENERATION - 1;

/** 1 when a tag is of another generation, which is to say free; without a branch. */
function free(tag: number, generation: number): number {
  const other = (tag ^ generation) >>> KEY_BITS;
  return -other >>> 31;
}

/**
 * A cache's storage: sets of four slots, found by four key words (the first below 2^19). It grows until its bound and
 * only then replaces; otherwise entries leave on command. What it holds is not architectural. A slot is named by the
 * index of its payload in {@link data}; -1 is no slot. Emptying it is one step: tags of an older generation are void.
 *
 * One class for all caches and no subclass: the lookups stay monomorphic.
 */
export class SetTable {
  tags: Int32Array;
  data: Int32Array;
  live = 0;
  /** Counts growths: slots have moved. */
  moves = 0;
  private shift = 32 - FIRST_SETS_LG2;
  private generation = GENERATION;
  private turn = 0;
  private readonly slotLg2: number;
  private readonly boundLg2: number;

  /** Payloads of 2^`slotLg2` words; at most 2^`boundLg2` sets. */
  constructor(slotLg2: number, boundLg2: number) {
    this.slotLg2 = slotLg2;
    this.boundLg2 = boundLg2;
    this.tags = new Int32Array(1 << (FIRST_SETS_LG2 + LINE_LG2));
    this.data = new Int32Array(WAYS << (FIRST_SETS_LG2 + slotLg2));
  }

  find(k0: number, k1: number, k2: number, k3: number): number {
    const tags = this.tags;
    const tag = k0 | this.generation;
    const line = this.set(k0, k1, k2, k3) << LINE_LG2;
    for (let at = line; at < line + 16; at += WAYS)
      if (tags[at | 3] === k3 && tags[at] === tag && tags[at | 1] === k1 && tags[at | 2] === k2)
        return (at >> TAG_LG2) << this.slotLg2;
    return -1;
  }

  /**
   * A slot for a key that is not in the table; its payload must be overwritten. -1 when the set is full and may not
   * grow: the owner removes {@link victim} and asks again.
   */
  insert(k0: number, k1: number, k2: number, k3: number): number {
    const { tags, generation } = this;
    const line = this.set(k0, k1, k2, k3) << LINE_LG2;
    const ways =
      free(tags[line]!, generation) |
      (free(tags[line | 4]!, generation) << 1) |
      (free(tags[line | 8]!, generation) << 2) |
      (free(tags[line | 12]!, generation) << 3);
    if (ways === 0) return this.crowded(k0, k1, k2, k3);
    const at = line + ((31 - Math.clz32(ways)) << TAG_LG2);
    // `| 0` tells V8 that an argument is an integer; a store alone would go through a double.
    tags[at] = k0 | generation;
    tags[at | 1] = k1 | 0;
    tags[at | 2] = k2 | 0;
    tags[at | 3] = k3 | 0;
    this.live++;
    return (at >> TAG_LG2) << this.slotLg2;
  }

  /** The slot to replace in a full set. */
  victim(k0: number, k1: number, k2: number, k3: number): number {
    this.turn = (this.turn + 1) & (WAYS - 1);
    return ((this.set(k0, k1, k2, k3) << TAG_LG2) + this.turn) << this.slotLg2;
  }

  remove(slot: number): void {
    this.tags[this.tagOf(slot)] = 0;
    this.live--;
  }

  /** Everything out, in one step. */
  clear(): void {
    this.live = 0;
    this.generation = (this.generation + GENERATION) | 0;
    if (this.generation !== 0) return;
    this.generation = GENERATION;
    this.tags.fill(0);
  }

  /** Slots go from 0 to here in steps of {@link step}; ask {@link isLive} of each. */
  get end(): number {
    return this.data.length;
  }

  get step(): number {
    return 1 << this.slotLg2;
  }

  isLive(slot: number): boolean {
    return ((this.tags[this.tagOf(slot)]! ^ this.generation) & ~KEY_MASK) === 0;
  }

  /** Index in {@link tags} of a slot's key; its first word carries the generation too, see {@link keyOf}. */
  tagOf(slot: number): number {
    return (slot >> this.slotLg2) << TAG_LG2;
  }

  keyOf(slot: number): number {
    return this.tags[this.tagOf(slot)]! & KEY_MASK;
  }

  /** The set a key belongs to; also a well-mixed number below {@link sets} for other uses. */
  set(k0: number, k1: number, k2: number, k3: number): number {
    const mixed =
      Math.imul(k0 | 0, 0x9e3779b1) ^ Math.imul(k1 | 0, 0x85ebca6b) ^ Math.imul(k2 | 0, 0xc2b2ae35) ^ (k3 >>> 12);
    return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> this.shift;
  }

  get sets(): number {
    return 1 << (32 - this.shift);
  }

  /** A full set: grow while that is allowed. */
  private crowded(k0: number, k1: number, k2: number, k3: number): number {
    if (32 - this.shift >= this.boundLg2) return -1;
    this.grow();
    return this.insert(k0, k1, k2, k3);
  }

  /** Twice the sets; each set's slots spread over two, so that all of them fit. */
  private grow(): void {
    const { tags, data } = this;
    this.tags = new Int32Array(tags.length * 2);
    this.data = new Int32Array(data.length * 2);
    this.shift--;
    this.moves++;
    for (let from = 0; from < tags.length; from += WAYS) {
      if (((tags[from]! ^ this.generation) & ~KEY_MASK) !== 0) continue;
      const set = this.set(tags[from]! & KEY_MASK, tags[from + 1]!, tags[from + 2]!, tags[from + 3]!);
      let to = set << LINE_LG2;
      while (this.tags[to] !== 0) to += WAYS;
      for (let i = 0; i < WAYS; i++) this.tags[to + i] = tags[from + i]!;
      const slot = (from >> TAG_LG2) << this.slotLg2;
      this.data.set(data.subarray(slot, slot + this.step), (to >> TAG_LG2) << this.slotLg2);
    }
  }
}
