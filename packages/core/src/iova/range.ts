/** An inclusive range of addresses: `last` belongs to it, so that one ending at 2^64-1 needs no 65th bit. */
export interface IovaRange {
  readonly start: bigint;
  readonly last: bigint;
}

/** Last address of a 64-bit space. */
export const TOP_ADDRESS = (1n << 64n) - 1n;

/** Sorted, with overlapping and adjacent ranges joined. */
export function normalizeRanges(ranges: readonly IovaRange[]): IovaRange[] {
  const joined: { start: bigint; last: bigint }[] = [];
  for (const { start, last } of [...ranges].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))) {
    const previous = joined.at(-1);
    if (previous && start <= previous.last + 1n) {
      if (last > previous.last) previous.last = last;
    } else joined.push({ start, last });
  }
  return joined;
}

/** What `ranges` leave open of `[0, last]`, ascending. */
export function complementOf(ranges: readonly IovaRange[], last: bigint = TOP_ADDRESS): IovaRange[] {
  const holes: IovaRange[] = [];
  let next = 0n;
  for (const range of normalizeRanges(ranges)) {
    if (range.start > last) break;
    if (range.start > next) holes.push({ start: next, last: range.start - 1n });
    next = range.last + 1n;
  }
  if (next <= last) holes.push({ start: next, last });
  return holes;
}

/** The ranges common to all lists; no list at all means no limit. */
export function intersectRanges(lists: readonly (readonly IovaRange[])[], last: bigint = TOP_ADDRESS): IovaRange[] {
  return complementOf(
    lists.flatMap((list) => complementOf(list, last)),
    last,
  );
}

export const overlaps = (a: IovaRange, b: IovaRange): boolean => a.start <= b.last && b.start <= a.last;
