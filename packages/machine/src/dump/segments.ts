import type { DumpFile } from './file.ts';

/** Physical addresses `[start, end)`: the first `filled` bytes from `position` of the file on, the rest zero. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  readonly file: DumpFile;
  readonly position: number;
  readonly filled: number;
}

/** Segments by address. Where two claim an address, the one that was added first has it. */
export class SegmentMap {
  readonly #segments: Segment[] = [];

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  add(segment: Segment): void {
    const claimed = this.overlapping(segment.start, segment.end);
    let from = segment.start;
    for (const { start, end } of claimed) {
      if (from < start) this.#insert(cut(segment, from, start));
      from = Math.max(from, end);
    }
    if (from < segment.end) this.#insert(cut(segment, from, segment.end));
  }

  /** Segments that hold something of `[start, end)`, ascending. */
  overlapping(start: number, end: number): Segment[] {
    const found: Segment[] = [];
    for (let i = this.#firstEndingAfter(start); i < this.#segments.length; i++) {
      const segment = this.#segments[i]!;
      if (segment.start >= end) break;
      found.push(segment);
    }
    return found;
  }

  /** Every address of `[start, end)` is held. */
  covers(start: number, end: number): boolean {
    let from = start;
    for (const segment of this.overlapping(start, end)) {
      if (segment.start > from) return false;
      from = segment.end;
    }
    return from >= end;
  }

  #insert(segment: Segment): void {
    this.#segments.splice(this.#firstEndingAfter(segment.start), 0, segment);
  }

  #firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function cut(segment: Segment, start: number, end: number): Segment {
  const skipped = start - segment.start;
  const filled = Math.min(Math.max(segment.filled - skipped, 0), end - start);
  return { start, end, file: segment.file, position: segment.position + skipped, filled };
}
