import { reader } from '@iommukit/bits';
import { CD } from '../format/cd.ts';
import { ADDRESS_BITS } from '../format/registers.ts';
import type { Features } from './features.ts';
import { addressable, maximumTxSz, minimumTxSz, TG0_LG2, TG1_LG2 } from './geometry.ts';
import { endianBroken, fits } from './ste-legality.ts';

type Words = ArrayLike<number>;

/** What the stream gives its context: IHI 0070 5.4 judges a CD together with it. */
export interface ContextWorld {
  /** EL2 without E2H: one half, no ASID, EPD ignored. */
  readonly el2: boolean;
  /** STE.S1STALLD. */
  readonly stallDisabled: boolean;
}

/** One way a context descriptor is ILLEGAL (IHI 0070 5.4.1). */
export interface CdRule {
  readonly reason: string;
  broken(words: Words, features: Features, world: ContextWorld): boolean;
}

const f = CD.fields;
const v = reader(f.V);
const aa64 = reader(f.AA64);
const stall = reader(f.S);
const abort = reader(f.A);
const endi = reader(f.ENDI);
const epd0 = reader(f.EPD0);
const epd1 = reader(f.EPD1);
const ha = reader(f.HA);
const hd = reader(f.HD);
const haft = reader(f.HAFT);
const asid = reader(f.ASID);
const ips = reader(f.IPS);
const t0Sz = reader(f.T0SZ);
const t1Sz = reader(f.T1SZ);
const tg0 = reader(f.TG0);
const tg1 = reader(f.TG1);

const HALVES = [
  { name: '0', tSz: t0Sz, granule: (w: Words) => TG0_LG2[tg0(w, 0)] ?? 0, ttb: 2 },
  { name: '1', tSz: t1Sz, granule: (w: Words) => TG1_LG2[tg1(w, 0)] ?? 0, ttb: 4 },
] as const;

/** Half 0 or 1 is translated: EPDx=0, as far as this world has that half. */
export function halfEnabled(words: Words, half: number, world: ContextWorld): boolean {
  if (world.el2) return half === 0;
  return (half === 0 ? epd0(words, 0) : epd1(words, 0)) === 0;
}

/** log2 of the half's granule; 0 where TGx is reserved. */
export const halfGranule = (words: Words, half: number): number => HALVES[half as 0 | 1].granule(words);

export const halfInputBits = (words: Words, half: number): number => 64 - HALVES[half as 0 | 1].tSz(words, 0);

/** Effective output size of a half: IPS, no more than OAS, no more than its granule's descriptors hold. */
export const halfOutputBits = (words: Words, half: number, features: Features): number =>
  addressable(halfGranule(words, half), Math.min(ADDRESS_BITS[ips(words, 0)] ?? 52, features.oas));

const halfRules = (half: 0 | 1): CdRule[] => {
  const { name, tSz, ttb } = HALVES[half];
  const rule = (reason: string, broken: (w: Words, x: Features) => boolean): CdRule => ({
    reason,
    broken: (w, x, world) => halfEnabled(w, half, world) && broken(w, x),
  });
  return [
    rule(`TG${name} is reserved or not implemented`, (w, x) => ((x.granules >>> halfGranule(w, half)) & 1) === 0),
    rule(`T${name}SZ is out of range`, (w, x) => {
      const granule = halfGranule(w, half);
      return tSz(w, 0) < minimumTxSz(granule, x.va52) || tSz(w, 0) > maximumTxSz(granule, x);
    }),
    rule(
      `TTB${name} lies outside the output address size`,
      (w, x) => !fits(w[ttb + 1] as number, w[ttb] as number, halfOutputBits(w, half, x)),
    ),
  ];
};

/** Every rule of C_BAD_CD but V=0. */
export const CD_RULES: readonly CdRule[] = [
  { reason: 'AA64=0: AArch32 tables are not implemented', broken: (w, x) => aa64(w, 0) === 0 || !x.aarch64 },
  {
    reason: 'S does not go with the stall model or with S1STALLD',
    broken: (w, x, world) => (stall(w, 0) === 1 ? x.stallModel === 1 || world.stallDisabled : x.stallModel === 2),
  },
  { reason: 'A=0 although terminated accesses can only abort', broken: (w, x) => x.abortOnly && abort(w, 0) === 0 },
  {
    reason: 'ENDI is not implemented',
    broken: (w, x, world) =>
      endianBroken(endi(w, 0), x.ttendian) && (halfEnabled(w, 0, world) || halfEnabled(w, 1, world)),
  },
  {
    reason: 'HA or HD without hardware update of that kind',
    broken: (w, x) => (x.httu < 1 && ha(w, 0) === 1) || (x.httu < 2 && hd(w, 0) === 1),
  },
  { reason: 'HAFT without HA', broken: (w, x) => x.httu === 3 && haft(w, 0) === 1 && ha(w, 0) === 0 },
  {
    reason: 'ASID uses bits 15:8 without ASID16',
    broken: (w, x, world) => !world.el2 && !x.asid16 && asid(w, 0) > 0xff,
  },
  ...halfRules(0),
  ...halfRules(1),
];

/** True for a descriptor whose requests fault with C_BAD_CD. Allocates nothing. */
export function cdIllegal(words: Words, features: Features, world: ContextWorld): boolean {
  if (v(words, 0) === 0) return true;
  for (let i = 0; i < CD_RULES.length; i++) if (CD_RULES[i]!.broken(words, features, world)) return true;
  return false;
}

/** Every reason why a descriptor is ILLEGAL; empty for a legal one. */
export function cdProblems(words: Words, features: Features, world: ContextWorld): string[] {
  if (v(words, 0) === 0) return ['V=0'];
  return CD_RULES.filter((rule) => rule.broken(words, features, world)).map((rule) => rule.reason);
}
