/**
 * Where the words of an entry lie; an entry is the index of its first word in `TranslationCache.words`. Entries are
 * aligned, so a word of one is `entry | ENTRY.X`. Addresses are of pages, and their low bits hold something else.
 */
export const ENTRY = {
  TAG: 0,
  /** Input page; bits 63:56 are a copy of bit 55. */
  IN_HI: 1,
  /** Bits 11:0: log2 of the size of the page this entry answers for; 0 in an empty entry. */
  IN_LO: 2,
  /** Bits 31:20: flags, for pages the permissions of permission.ts. Bits 51:32 of the output address. */
  OUT_HI: 3,
  /** Bits 11:0: the leaf the entry comes from, see {@link leafShape}. */
  OUT_LO: 4,
  CHAIN: 5,
  PREVIOUS: 6,
  NEXT: 7,
} as const;
/** log2 of the words of an entry. */
export const ENTRY_LG2 = 3;

export const SIZE_MASK = 0xfff;
export const SHAPE_MASK = 0xfff;
export const ADDRESS_HI = 0x000f_ffff;
export const FLAGS_SHIFT = 20;

/** Level, granule, and log2 of the leaf software invalidates: with two stages it may be larger than the entry. */
export const leafShape = (level: number, granuleLg2: number, leafLg2: number): number =>
  level | ((granuleLg2 - 12) << 1) | (leafLg2 << 4);
export const shapeLevel = (outLo: number): number => outLo & 3;
export const shapeGranule = (outLo: number): number => 12 + ((outLo >>> 1) & 6);
export const shapeLeaf = (outLo: number): number => (outLo >>> 4) & 0x3f;
