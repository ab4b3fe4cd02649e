import type { Features } from './features.ts';

/**
 * The shape of a translation table: Arm ARM D8.2, IHI 0070 3.4. A granule of 2^g bytes holds 2^(g-3) descriptors;
 * level L resolves the address bits from `levelShift(g, L)` up.
 */
export const levelShift = (granuleLg2: number, level: number): number => granuleLg2 + (3 - level) * (granuleLg2 - 3);

/** Stage 1 starts at the lowest level whose one table takes all input bits. */
export const stage1StartLevel = (granuleLg2: number, inputBits: number): number =>
  4 - Math.ceil((inputBits - granuleLg2) / (granuleLg2 - 3));

/** Levels that may hold blocks, as a bit mask. 64 KiB level 1 (4 TiB) needs 52-bit output addresses. */
export function blockLevels(granuleLg2: number, oas: number): number {
  if (granuleLg2 === 12) return (1 << 1) | (1 << 2);
  return granuleLg2 === 16 && oas >= 52 ? (1 << 1) | (1 << 2) : 1 << 2;
}

/** log2 of the granule by STE.S2TG and CD.TG0; 0 = reserved. */
export const TG0_LG2: readonly number[] = [12, 16, 14, 0];
/** log2 of the granule by CD.TG1. */
export const TG1_LG2: readonly number[] = [0, 14, 12, 16];

/** Address bits that a descriptor of this granule can hold: 52 only with 64 KiB. */
export const addressable = (granuleLg2: number, bits: number): number =>
  granuleLg2 === 16 ? Math.min(bits, 52) : Math.min(bits, 48);

/** The start level STE.S2SL0 asks for, or -1 where the encoding is reserved. */
export function stage2StartLevel(granuleLg2: number, sl0: number, stt: boolean): number {
  if (granuleLg2 === 12) return sl0 === 3 ? (stt ? 3 : -1) : 2 - sl0;
  return sl0 === 3 ? -1 : 3 - sl0;
}

/** Root index bits of a stage-2 table, or 0 where size, start level and granule do not go together. */
export function stage2RootBits(granuleLg2: number, inputBits: number, level: number, oas: number): number {
  const bits = inputBits - levelShift(granuleLg2, level);
  if (bits < 1 || bits > granuleLg2 - 3 + 4) return 0;
  const narrow =
    granuleLg2 === 12 ? level === 0 && oas <= 42 : level === 1 && (granuleLg2 === 14 ? oas <= 40 : oas <= 42);
  return narrow ? 0 : bits;
}

/** Smallest and largest TxSZ/S2T0SZ of a granule, IHI 0070 5.4. */
export const minimumTxSz = (granuleLg2: number, wide: boolean): number => (wide && granuleLg2 === 16 ? 12 : 16);
export const maximumTxSz = (granuleLg2: number, features: Features): number =>
  features.stt ? (granuleLg2 === 16 ? 47 : 48) : 39;
