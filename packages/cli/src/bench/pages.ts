import { hiOf, loOf } from '@iommukit/bits';

/** IOVAs that a bench touches, as the halves the hot path takes, in the order it takes them. */
export interface PageSet {
  readonly length: number;
  readonly hi: Int32Array;
  readonly lo: Int32Array;
  readonly iovas: readonly bigint[];
}

const PAGE_LG2 = 12n;

/** In a fixed random order, so that no prefetcher helps and every run measures the same. */
export function pageSet(iovas: readonly bigint[]): PageSet {
  const shuffled = [...iovas];
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = Number(scrambled(at) % BigInt(at + 1));
    [shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!];
  }
  return {
    length: shuffled.length,
    hi: Int32Array.from(shuffled, hiOf),
    lo: Int32Array.from(shuffled, loOf),
    iovas: shuffled,
  };
}

/** Neighbours: what a driver's buffers look like. */
export function neighbours(count: number, first = 0x4000_0000n): PageSet {
  return pageSet(Array.from({ length: count }, (_, at) => first + (BigInt(at) << PAGE_LG2)));
}

/**
 * Pages that share no table but the root, with mixed indices on every level: each one costs a whole walk, and no cache
 * of upper table levels can help. `last` bounds the input range (inclusive).
 */
export function farApart(count: number, last: bigint): PageSet {
  const stride = (last + 1n) / BigInt(count);
  const pages = stride >> PAGE_LG2;
  const iova = (at: number) => BigInt(at) * stride + ((scrambled(at) % pages) << PAGE_LG2);
  return pageSet(Array.from({ length: count }, (_, at) => iova(at)));
}

/** A fixed sequence that looks random; 56 bits. */
export function scrambled(at: number): bigint {
  let value = BigInt.asUintN(64, BigInt(at + 1) * 0x9e37_79b9_7f4a_7c15n);
  value ^= value >> 29n;
  return BigInt.asUintN(64, value * 0xbf58_476d_1ce4_e5b9n) >> 8n;
}
