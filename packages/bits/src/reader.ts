import type { Field } from './field.ts';

/**
 * Readers take a field out of 32-bit words without BigInt and without allocation, from the same declaration as
 * encode and decode. A field of up to 31 bits comes back as a small integer; wider ones (to 53 bits) as a double.
 * Words may be signed or unsigned: only their bits count.
 */
export type Reader = (words: ArrayLike<number>, base: number) => number;

/** A reader over the halves of the 64-bit word that holds the field. */
export type Reader64 = (lo: number, hi: number) => number;

/** `reader64(f)(lo, hi)`: `lo` and `hi` are the halves of the 64-bit word in which the field lies. Shifted down. */
export function reader64(field: Field): Reader64 {
  const lsb = field.lsb % 64;
  const msb = field.msb % 64;
  const width = msb - lsb + 1;
  if (width > 53) throw new RangeError(`a ${width}-bit field does not fit a number`);
  const mask = width < 32 ? 2 ** width - 1 : -1;
  if (lsb >= 32) return width < 32 ? (_lo, hi) => (hi >>> (lsb - 32)) & mask : (_lo, hi) => hi >>> (lsb - 32);
  if (msb < 32) return width < 32 ? (lo) => (lo >>> lsb) & mask : (lo) => lo >>> lsb;
  const above = 2 ** (msb - 31) - 1;
  return (lo, hi) => ((hi & above) >>> 0) * 2 ** (32 - lsb) + (lo >>> lsb);
}

/** `reader(f)(words, base)`: the field of the structure that starts at `words[base]`. Shifted down. */
export function reader(field: Field): Reader {
  const at = Math.floor(field.lsb / 64) * 2;
  const lsb = field.lsb % 64;
  const msb = field.msb % 64;
  const width = msb - lsb + 1;
  if (width < 32 && (msb < 32 || lsb >= 32)) {
    const word = at + (lsb >= 32 ? 1 : 0);
    const shift = lsb % 32;
    const mask = 2 ** width - 1;
    return (words, base) => ((words[base + word] as number) >>> shift) & mask;
  }
  const read = reader64(field);
  return (words, base) => read(words[base + at] as number, words[base + at + 1] as number);
}
