/** One step of a mapping: `count` pages of `pageSize`. */
export interface PageStep {
  readonly pageSize: bigint;
  readonly count: number;
}

/** Most pages a single step covers, so that a count always fits an int32. */
const MAX_COUNT = 1n << 30n;

/**
 * The next step of mapping `size` bytes from `iova` to `pa`: the largest page that the remaining size and the common
 * alignment of both addresses allow, and as many of them as fit before a larger page becomes possible.
 * All three are multiples of the smallest page in `pageSizes` and `size` is not 0.
 */
export function nextStep(pageSizes: bigint, iova: bigint, pa: bigint, size: bigint): PageStep {
  const merged = iova | pa;
  const aligned = merged === 0n ? pageSizes : pageSizes & ((lowestBit(merged) << 1n) - 1n);
  const pageSize = highestBit(aligned & ((highestBit(size) << 1n) - 1n));
  const larger = pageSizes & ~((pageSize << 1n) - 1n);
  let span = size;
  if (larger !== 0n) {
    const next = lowestBit(larger);
    const congruent = ((iova ^ pa) & (next - 1n)) === 0n;
    const untilNext = next - (merged & (next - 1n));
    if (congruent && untilNext + next <= size) span = untilNext;
  }
  const count = span / pageSize;
  return { pageSize, count: Number(count < MAX_COUNT ? count : MAX_COUNT) };
}

/** The lowest set bit; 0n for 0n. */
export const lowestBit = (value: bigint): bigint => value & -value;

/** The highest set bit; 0n for 0n. */
export const highestBit = (value: bigint): bigint => (value === 0n ? 0n : 1n << BigInt(value.toString(2).length - 1));
