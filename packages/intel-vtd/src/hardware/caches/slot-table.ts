/** Words of one slot: four of key, one that chains, the rest payload. */
export const SLOT_LG2 = 4;
export const SLOT_WORDS = 1 << SLOT_LG2;
export const NEXT = 4;
/** First payload word. */
export const PAYLOAD = 5;

const FIRST_LG2 = 6;
/** Longest chain a lookup may have to follow; a guest that forges collisions only loses its own entries. */
const LONGEST_CHAIN = 24;

/**
 * A cache's storage: slots of 32-bit words found by a four-word key. Grows to its bound, then replaces the oldest. What
 * it holds is not architectural; entries leave only on command or by replacement. A slot is named by the index of its
 * first word in {@link data}; 0 is no slot. Nothing here allocates except growth.
 */
export class SlotTable {
  data: Int32Array;
  heads: Int32Array;
  /** Live slots. */
  live = 0;
  protected used = 0;
  protected shift: number;
  private freed = 0;
  private hand = 0;
  private readonly boundLg2: number;

  constructor(boundLg2: number) {
    this.boundLg2 = boundLg2;
    this.data = new Int32Array((1 + (1 << FIRST_LG2)) << SLOT_LG2);
    this.heads = new Int32Array(1 << FIRST_LG2);
    this.shift = 32 - FIRST_LG2;
  }

  protected bucket(k0: number, k1: number, k2: number, k3: number): number {
    const mixed = Math.imul(k0, 0x9e3779b1) ^ Math.imul(k1, 0x85ebca6b) ^ Math.imul(k2, 0xc2b2ae35) ^ (k3 >>> 12) ^ k3;
    return Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> this.shift;
  }

  find(k0: number, k1: number, k2: number, k3: number): number {
    const data = this.data;
    let at = this.heads[this.bucket(k0, k1, k2, k3)]!;
    while (at !== 0) {
      if (data[at + 3] === k3 && data[at] === k0 && data[at + 1] === k1 && data[at + 2] === k2) return at;
      at = data[at + NEXT]!;
    }
    return 0;
  }

  /** The slot for this key, made when there is none; its old payload must be overwritten. */
  insert(k0: number, k1: number, k2: number, k3: number): number {
    const known = this.find(k0, k1, k2, k3);
    if (known !== 0) {
      this.unlinked(known);
      return known;
    }
    const at = this.take();
    const bucket = this.bucket(k0, k1, k2, k3);
    this.shorten(bucket);
    const data = this.data;
    data[at] = k0;
    data[at + 1] = k1;
    data[at + 2] = k2;
    data[at + 3] = k3;
    data[at + NEXT] = this.heads[bucket]!;
    data[at + SLOT_WORDS - 1] = 1;
    this.heads[bucket] = at;
    this.live++;
    return at;
  }

  remove(at: number): void {
    const data = this.data;
    const bucket = this.bucket(data[at]!, data[at + 1]!, data[at + 2]!, data[at + 3]!);
    let before = 0;
    let here = this.heads[bucket]!;
    while (here !== 0 && here !== at) {
      before = here;
      here = data[here + NEXT]!;
    }
    if (here === 0) return;
    if (before === 0) this.heads[bucket] = data[at + NEXT]!;
    else data[before + NEXT] = data[at + NEXT]!;
    this.unlinked(at);
    data[at + SLOT_WORDS - 1] = 0;
    data[at + NEXT] = this.freed;
    this.freed = at;
    this.live--;
  }

  /** Everything out. Costs what is inside, not what could be. */
  clear(): void {
    if (this.used === 0) return;
    if (this.used > this.heads.length >> 3) this.heads.fill(0);
    else this.forgetHeads();
    this.used = 0;
    this.live = 0;
    this.freed = 0;
    this.hand = 0;
  }

  /** First word past the slots in use; slots start at {@link SLOT_WORDS}. Check {@link isLive} on each. */
  get end(): number {
    return (this.used + 1) << SLOT_LG2;
  }

  isLive(at: number): boolean {
    return this.data[at + SLOT_WORDS - 1] === 1;
  }

  /** A subclass forgets its own links to a slot that leaves or is about to be overwritten. */
  protected unlinked(_at: number): void {}

  /** A subclass rebuilds its own heads after growth. */
  protected grown(): void {}

  private forgetHeads(): void {
    const { data, heads } = this;
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS)
      heads[this.bucket(data[at]!, data[at + 1]!, data[at + 2]!, data[at + 3]!)] = 0;
  }

  private take(): number {
    if (this.freed !== 0) {
      const at = this.freed;
      this.freed = this.data[at + NEXT]!;
      return at;
    }
    if (this.used >= this.heads.length && this.heads.length < 1 << this.boundLg2) this.grow();
    if (this.used < this.heads.length) return ++this.used << SLOT_LG2;
    this.hand = this.hand >= this.used ? 1 : this.hand + 1;
    this.remove(this.hand << SLOT_LG2);
    const at = this.freed;
    this.freed = this.data[at + NEXT]!;
    return at;
  }

  private shorten(bucket: number): void {
    const data = this.data;
    let at = this.heads[bucket]!;
    let length = 0;
    while (at !== 0 && ++length < LONGEST_CHAIN) at = data[at + NEXT]!;
    if (at !== 0) this.remove(at);
  }

  private grow(): void {
    const size = this.heads.length * 2;
    const data = new Int32Array((1 + size) << SLOT_LG2);
    data.set(this.data);
    this.data = data;
    this.heads = new Int32Array(size);
    this.shift--;
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) {
      const bucket = this.bucket(data[at]!, data[at + 1]!, data[at + 2]!, data[at + 3]!);
      data[at + NEXT] = this.heads[bucket]!;
      this.heads[bucket] = at;
    }
    this.grown();
  }
}
