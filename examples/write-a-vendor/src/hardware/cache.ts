/**
 * 64-bit entries by tag and index, direct-mapped. Entries leave by command; by another only where two share a slot, so
 * there are many slots: a driver that forgets to invalidate should meet what it forgot.
 */
export class EntryCache {
  /** The entry found or inserted last. */
  lo = 0;
  hi = 0;
  /** The index, or -1 in a free slot: one test for both. */
  readonly #index: Int32Array;
  readonly #tagHi: Int32Array;
  readonly #tagLo: Int32Array;
  readonly #lo: Int32Array;
  readonly #hi: Int32Array;

  /** `slots` is a power of two. */
  constructor(slots: number) {
    this.#index = new Int32Array(slots).fill(-1);
    this.#tagHi = new Int32Array(slots);
    this.#tagLo = new Int32Array(slots);
    this.#lo = new Int32Array(slots);
    this.#hi = new Int32Array(slots);
  }

  find(tagHi: number, tagLo: number, index: number): boolean {
    const slot = this.#slot(tagLo, index);
    if (this.#index[slot] !== index || this.#tagLo[slot] !== tagLo || this.#tagHi[slot] !== tagHi) return false;
    this.lo = this.#lo[slot]!;
    this.hi = this.#hi[slot]!;
    return true;
  }

  insert(tagHi: number, tagLo: number, index: number, hi: number, lo: number): void {
    const slot = this.#slot(tagLo, index);
    this.#index[slot] = index;
    this.#tagHi[slot] = tagHi;
    this.#tagLo[slot] = tagLo;
    this.#lo[slot] = this.lo = lo;
    this.#hi[slot] = this.hi = hi;
  }

  drop(tagHi: number, tagLo: number, index: number): void {
    if (this.find(tagHi, tagLo, index)) this.#index[this.#slot(tagLo, index)] = -1;
  }

  dropTag(tagHi: number, tagLo: number): void {
    for (let slot = 0; slot < this.#index.length; slot++)
      if (this.#tagLo[slot] === tagLo && this.#tagHi[slot] === tagHi) this.#index[slot] = -1;
  }

  clear(): void {
    this.#index.fill(-1);
  }

  #slot(tagLo: number, index: number): number {
    return (index ^ (tagLo >>> 12)) & (this.#index.length - 1);
  }
}
