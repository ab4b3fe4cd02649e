/** Inclusive address ranges as exact integers below 2^53, kept sorted, disjoint and joined where they touch. */
export class RangeSet {
  private starts: number[] = [];
  private lasts: number[] = [];

  get empty(): boolean {
    return this.starts.length === 0;
  }

  add(start: number, last: number): void {
    if (!(start <= last)) throw new RangeError(`empty range 0x${start.toString(16)}..0x${last.toString(16)}`);
    const from = this.firstEndingAt(start - 1);
    let to = from;
    while (to < this.starts.length && this.starts[to]! <= last + 1) to++;
    const low = to > from ? Math.min(start, this.starts[from]!) : start;
    const high = to > from ? Math.max(last, this.lasts[to - 1]!) : last;
    this.starts.splice(from, to - from, low);
    this.lasts.splice(from, to - from, high);
  }

  clear(): void {
    this.starts = [];
    this.lasts = [];
  }

  /** Every address of the range is in the set. */
  covers(start: number, last: number): boolean {
    const at = this.firstEndingAt(start);
    return at < this.starts.length && this.starts[at]! <= start && last <= this.lasts[at]!;
  }

  /** Some address of the range is in the set. */
  touches(start: number, last: number): boolean {
    const at = this.firstEndingAt(start);
    return at < this.starts.length && this.starts[at]! <= last;
  }

  /** Index of the first range whose last address is not below `address`. */
  private firstEndingAt(address: number): number {
    let low = 0;
    let high = this.lasts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.lasts[middle]! < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
