/** Halves of the mask that keeps the address bits above 2^`lg2` bytes. */
export function maskLo(lg2: number): number {
  return lg2 < 32 ? -1 << lg2 : 0;
}

export function maskHi(lg2: number): number {
  return lg2 <= 32 ? -1 : lg2 < 64 ? -1 << (lg2 - 32) : 0;
}

export function spanMask(lg2: number, high: boolean): number {
  return high ? maskHi(lg2) : maskLo(lg2);
}

/** log2 of what one entry of a level spans; level 1 holds 4 KiB pages. */
export function entrySpan(level: number): number {
  return 3 + 9 * level;
}
