/*
 * Arithmetic of the walks, on signed 32-bit halves: numbers above 2^31 that cross a call that is not inlined cost V8 an
 * allocation. Levels are the manual's: 1 holds 4 KiB pages, 5 is the widest root. See the property tests against
 * bigint arithmetic.
 */

/** Byte offset of the entry of `level` that serves an address. */
export function entryOffset(level: number, hi: number, lo: number): number {
  if (level === 1) return (lo >>> 9) & 0xff8;
  if (level === 2) return (lo >>> 18) & 0xff8;
  if (level === 3) return ((lo >>> 27) | (hi << 5)) & 0xff8;
  if (level === 4) return (hi >>> 4) & 0xff8;
  return (hi >>> 13) & 0xff8;
}

/** log2 of a leaf at `level` (1 to 3). */
export function leafLg2(level: number): number {
  return 3 + 9 * level;
}

/** 1 MiB of interrupt messages at 0xFEE00000. */
export function inInterruptWindow(hi: number, lo: number): boolean {
  return hi === 0 && lo >>> 20 === 0xfee;
}

/** Whether bits 63:N equal bit N-1, N = 48 for 4 levels and 57 for 5. */
export function isCanonical(fiveLevels: boolean, hi: number): boolean {
  const top = fiveLevels ? hi >> 24 : hi >> 15;
  return top === 0 || top === -1;
}
