/**
 * Addresses are compared as pairs of "flipped" halves: with the top bit inverted, the signed order of JavaScript's
 * int32 is the unsigned order of the address, so a comparison needs no BigInt and no conversion.
 */
export const FLIP = -0x80000000;

/** a <= b, both as flipped halves. */
export const atMost = (aHi: number, aLo: number, bHi: number, bLo: number): boolean =>
  aHi < bHi || (aHi === bHi && aLo <= bLo);

/** a < b, both as flipped halves. */
export const below = (aHi: number, aLo: number, bHi: number, bLo: number): boolean =>
  aHi < bHi || (aHi === bHi && aLo < bLo);

/** Index of the highest set bit of a 64-bit word, or 64 for 0. */
export const highestBit = (hi: number, lo: number): number => {
  if (hi !== 0) return 63 - Math.clz32(hi);
  return lo !== 0 ? 31 - Math.clz32(lo) : 64;
};

/** Index of the lowest set bit of a 64-bit word, or 64 for 0. */
export const lowestBit = (hi: number, lo: number): number => {
  if (lo !== 0) return 31 - Math.clz32(lo & -lo);
  return hi !== 0 ? 63 - Math.clz32(hi & -hi) : 64;
};

/** Carry out of the low half of `a + b`: 1 when the unsigned sum's low word is below one of its terms. */
export const carry = (sumLo: number, termLo: number): number => ((sumLo ^ FLIP) < (termLo ^ FLIP) ? 1 : 0);
