import { CD } from '../format/cd.ts';
import type { EntryKind } from './entry-writer.ts';
import { addressSizeCode, type Features } from './features.ts';
import { dropMask, fieldMask } from './field-masks.ts';

/** CD.TG0 by granule. */
const TG0: Readonly<Record<number, number>> = { 12: 0, 16: 1, 14: 2 };
const WALK_WB = 1;
const ISH = 3;

/**
 * Memory types by AttrIndx: 0 Normal non-cacheable, 1 Normal write-back, 2 Device-nGnRE, 3 Normal inner non-cacheable and
 * outer write-back. The other indices are never used.
 */
const MAIR0 = 0xf404_ff44;
const MAIR1 = 0xffff_ffff;

export interface Stage1Ref {
  readonly asid: number;
  readonly root: bigint;
  readonly inputBits: number;
  /** Hardware keeps access flag and dirty state (HA, HD). */
  readonly dirty: boolean;
}

/** The CD of a paging domain: the lower half of the address space, the upper one disabled. */
export function pagingCd(features: Features, stage1: Stage1Ref): Uint32Array {
  return CD.encode({
    T0SZ: 64 - stage1.inputBits,
    TG0: TG0[features.granuleLg2]!,
    IR0: WALK_WB,
    OR0: WALK_WB,
    SH0: ISH,
    EPD1: true,
    V: true,
    IPS: addressSizeCode(features.oasBits),
    AA64: true,
    HD: stage1.dirty,
    HA: stage1.dirty,
    S: features.stallModel === 2,
    R: true,
    A: true,
    ASET: true,
    ASID: stage1.asid,
    TTB0: stage1.root,
    MAIR0,
    MAIR1,
  });
}

export const noCd = (): Uint32Array => CD.encode({});

const VALID = fieldMask(CD, 'V');
const LOWER_HALF = fieldMask(CD, 'T0SZ', 'TG0', 'IR0', 'OR0', 'SH0', 'TTB0');

/** Which bits of a CD hardware looks at (IHI 0070 5.4): all of a valid one, less the half that EPD0 turns off. */
export const CD_KIND: EntryKind = {
  used(entry, mask) {
    mask.set(VALID);
    if (!CD.get(entry, 'V')) return;
    mask.fill(0xffff_ffff);
    if (CD.get(entry, 'EPD0')) dropMask(mask, LOWER_HALF);
  },
};
