/**
 * A map from two 32-bit integers to a slot number, bounded and free of allocation between its few doublings. Whoever
 * owns it keeps the values in arrays of its own, by slot. When it is full, the owner evicts the slot {@link victim}
 * names.
 */
export class PairMap {
  readonly limit: number;
  size = 0;
  private capacity: number;
  private shift: number;
  private heads: Int32Array;
  private next: Int32Array;
  private first: Int32Array;
  private second: Int32Array;
  /** 1 = in use. */
  private used: Uint8Array;
  private freeSlot = 0;
  private hand = 0;

  /** `limit` is the greatest number of pairs, a power of two of at least 16. */
  constructor(limit: number) {
    this.limit = limit;
    this.capacity = Math.min(64, limit);
    this.shift = 32 - Math.log2(this.capacity);
    this.heads = new Int32Array(this.capacity).fill(-1);
    this.next = new Int32Array(this.capacity);
    this.first = new Int32Array(this.capacity);
    this.second = new Int32Array(this.capacity);
    this.used = new Uint8Array(this.capacity);
    this.clear();
  }

  clear(): void {
    this.heads.fill(-1);
    this.used.fill(0);
    this.size = 0;
    this.hand = 0;
    this.thread(0);
  }

  /** Slots in use are below this. */
  get slots(): number {
    return this.capacity;
  }

  get full(): boolean {
    return this.size === this.limit;
  }

  /** The slot of a pair, or -1. */
  find(a: number, b: number): number {
    let slot = this.heads[this.bucket(a, b)]!;
    while (slot >= 0 && (this.first[slot] !== a || this.second[slot] !== b)) slot = this.next[slot]!;
    return slot;
  }

  /** A slot for a pair that is not there yet. The map must not be full. */
  add(a: number, b: number): number {
    if (this.size === this.capacity) this.grow();
    const slot = this.freeSlot;
    this.freeSlot = this.next[slot]!;
    this.first[slot] = a;
    this.second[slot] = b;
    this.used[slot] = 1;
    this.size++;
    this.link(slot);
    return slot;
  }

  remove(slot: number): void {
    const bucket = this.bucket(this.first[slot]!, this.second[slot]!);
    if (this.heads[bucket] === slot) this.heads[bucket] = this.next[slot]!;
    else {
      let before = this.heads[bucket]!;
      while (this.next[before] !== slot) before = this.next[before]!;
      this.next[before] = this.next[slot]!;
    }
    this.used[slot] = 0;
    this.next[slot] = this.freeSlot;
    this.freeSlot = slot;
    this.size--;
  }

  inUse(slot: number): boolean {
    return this.used[slot] === 1;
  }

  firstOf(slot: number): number {
    return this.first[slot]!;
  }

  secondOf(slot: number): number {
    return this.second[slot]!;
  }

  /** The slot to evict next, round robin. The map must not be empty. */
  victim(): number {
    do this.hand = this.hand + 1 === this.capacity ? 0 : this.hand + 1;
    while (this.used[this.hand] === 0);
    return this.hand;
  }

  private bucket(a: number, b: number): number {
    return Math.imul(a ^ Math.imul(b + 0x7f4a7c15, 0x85ebca6b), 0x9e3779b1) >>> this.shift;
  }

  private link(slot: number): void {
    const bucket = this.bucket(this.first[slot]!, this.second[slot]!);
    this.next[slot] = this.heads[bucket]!;
    this.heads[bucket] = slot;
  }

  /** Makes every slot from `from` on free. */
  private thread(from: number): void {
    for (let slot = from; slot < this.capacity; slot++) this.next[slot] = slot + 1;
    this.freeSlot = from;
  }

  private grow(): void {
    const old = this.capacity;
    this.capacity *= 2;
    this.shift--;
    this.heads = new Int32Array(this.capacity).fill(-1);
    this.next = new Int32Array(this.capacity);
    this.first = enlarged(this.first, this.capacity);
    this.second = enlarged(this.second, this.capacity);
    const used = new Uint8Array(this.capacity);
    used.set(this.used);
    this.used = used;
    for (let slot = 0; slot < old; slot++) this.link(slot);
    this.thread(old);
  }
}

/** A copy with room for `length` integers. */
export function enlarged(array: Int32Array, length: number): Int32Array {
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}
