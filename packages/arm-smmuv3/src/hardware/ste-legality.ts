import { reader } from '@iommukit/bits';
import { ADDRESS_BITS } from '../format/registers.ts';
import { STE, STE_CONFIG } from '../format/ste.ts';
import type { Features } from './features.ts';
import { addressable, maximumTxSz, minimumTxSz, stage2RootBits, stage2StartLevel, TG0_LG2 } from './geometry.ts';

type Words = ArrayLike<number>;

/** One way a stream table entry is ILLEGAL (IHI 0070 5.2.2). `broken` may assume that the rules before it hold. */
export interface SteRule {
  readonly reason: string;
  /** Which of stage 1 and 2 must be on for the rule to apply; 0 = always. */
  readonly stages: number;
  broken(words: Words, features: Features): boolean;
}

const f = STE.fields;
const v = reader(f.V);
const config = reader(f.Config);
const s1Fmt = reader(f.S1Fmt);
const s1CdMax = reader(f.S1CDMax);
const s1StallD = reader(f.S1STALLD);
const strw = reader(f.STRW);
const eats = reader(f.EATS);
const s2Vmid = reader(f.S2VMID);
const s2T0Sz = reader(f.S2T0SZ);
const s2Sl0 = reader(f.S2SL0);
const s2Tg = reader(f.S2TG);
const s2Ps = reader(f.S2PS);
const s2Aa64 = reader(f.S2AA64);
const s2Endi = reader(f.S2ENDI);
const s2Ha = reader(f.S2HA);
const s2Hd = reader(f.S2HD);
const s2Haft = reader(f.S2HAFT);
const s2S = reader(f.S2S);
const s2Fwb = reader(f.S2FWB);

const S1 = 1;
const S2 = 2;

/** Address bits from `bits` up are zero, in a word whose high half is `hi` (bits 55:32 of the address). */
export const fits = (hi: number, lo: number, bits: number): boolean =>
  bits > 32 ? (hi & 0x00ff_ffff) >>> (bits - 32) === 0 : (hi & 0x00ff_ffff) === 0 && (bits === 32 || lo >>> bits === 0);

const granuleOf = (words: Words): number => TG0_LG2[s2Tg(words, 0)] ?? 0;

/** Effective stage-2 output size: S2PS, no more than OAS, no more than the granule's descriptors hold. */
export const stage2OutputBits = (words: Words, features: Features): number =>
  addressable(granuleOf(words), Math.min(ADDRESS_BITS[s2Ps(words, 0)] ?? 52, features.oas));

const el1World = (words: Words, features: Features): boolean =>
  config(words, 0) !== STE_CONFIG.S1 || !features.hyp || (strw(words, 0) & 2) === 0;

function eatsBroken(words: Words, features: Features): boolean {
  if (!features.ats) return false;
  const mode = eats(words, 0);
  const nested = config(words, 0) === STE_CONFIG.NESTED;
  const stage2 = (config(words, 0) & S2) !== 0;
  if (mode === 2) return !nested || s2S(words, 0) === 1 || features.ns1ats;
  return mode === 1 && stage2 && s2S(words, 0) === 1;
}

function t0SzBroken(words: Words, features: Features): boolean {
  const granule = granuleOf(words);
  const least = Math.max(minimumTxSz(granule, features.oas >= 52), 64 - features.ias);
  return s2T0Sz(words, 0) < least || s2T0Sz(words, 0) > maximumTxSz(granule, features);
}

function startLevelBroken(words: Words, features: Features): boolean {
  const granule = granuleOf(words);
  const level = stage2StartLevel(granule, s2Sl0(words, 0), features.stt);
  return level < 0 || stage2RootBits(granule, 64 - s2T0Sz(words, 0), level, features.oas) === 0;
}

/** 2 = little only, 3 = big only. Mixed-endian walks are not modelled, so big is refused there too. */
export function endianBroken(big: number, ttendian: number): boolean {
  if (ttendian < 0) return false;
  return ttendian === 3 ? big === 0 : big === 1;
}

/** Every rule of C_BAD_STE but V=0, which makes the rest of the entry meaningless. */
export const STE_RULES: readonly SteRule[] = [
  { reason: 'Config asks for stage 1, which is not implemented', stages: S1, broken: (_w, x) => !x.s1 },
  { reason: 'Config asks for stage 2, which is not implemented', stages: S2, broken: (_w, x) => !x.s2 },
  {
    reason: 'S1Fmt is a two-level CD table, which is not implemented',
    stages: S1,
    broken: (w, x) => !x.cd2l && x.ssidBits > 0 && s1CdMax(w, 0) > 0 && (s1Fmt(w, 0) === 1 || s1Fmt(w, 0) === 2),
  },
  {
    reason: 'S1CDMax is larger than SSIDSIZE',
    stages: S1,
    broken: (w, x) => x.ssidBits > 0 && s1CdMax(w, 0) > x.ssidBits,
  },
  {
    reason: 'S1ContextPtr lies outside the address size',
    stages: S1,
    broken: (w, x) => !fits(w[1] as number, w[0] as number, config(w, 0) === STE_CONFIG.NESTED ? x.ias : x.oas),
  },
  {
    reason: 'STRW is reserved',
    stages: S1,
    broken: (w, x) => x.hyp && config(w, 0) === STE_CONFIG.S1 && (strw(w, 0) & 1) === 1,
  },
  {
    reason: 'S1STALLD is set although faults cannot be chosen to stall',
    stages: S1,
    broken: (w, x) => x.stallModel !== 0 && s1StallD(w, 0) === 1,
  },
  {
    reason: 'EATS does not go with the stages in use',
    stages: 0,
    broken: (w, x) => config(w, 0) > 4 && eatsBroken(w, x),
  },
  {
    reason: 'S2AA64=0: AArch32 tables are not implemented',
    stages: S2,
    broken: (w, x) => s2Aa64(w, 0) === 0 || !x.aarch64,
  },
  {
    reason: 'S2TG is reserved or not implemented',
    stages: S2,
    broken: (w, x) => ((x.granules >>> granuleOf(w)) & 1) === 0,
  },
  { reason: 'S2T0SZ is out of range', stages: S2, broken: t0SzBroken },
  { reason: 'S2SL0, S2T0SZ and S2TG do not go together', stages: S2, broken: startLevelBroken },
  {
    reason: 'S2TTB lies outside the output address size',
    stages: S2,
    broken: (w, x) => !fits(w[7] as number, w[6] as number, stage2OutputBits(w, x)),
  },
  {
    reason: 'S2ENDI is not implemented',
    stages: S2,
    broken: (w, x) => endianBroken(s2Endi(w, 0), x.ttendian),
  },
  {
    reason: 'S2HA or S2HD without hardware update of that kind',
    stages: S2,
    broken: (w, x) => (x.httu < 1 && s2Ha(w, 0) === 1) || (x.httu < 2 && s2Hd(w, 0) === 1),
  },
  {
    reason: 'S2S does not go with the stall model',
    stages: S2,
    broken: (w, x) => (x.stallModel === 1 && s2S(w, 0) === 1) || (x.stallModel === 2 && s2S(w, 0) === 0),
  },
  {
    reason: 'S2FWB with AArch32 tables',
    stages: S2,
    broken: (w, x) => x.fwb && s2Fwb(w, 0) === 1 && s2Aa64(w, 0) === 0,
  },
  {
    reason: 'S2HAFT without S2HA',
    stages: S2,
    broken: (w, x) => x.httu === 3 && s2Haft(w, 0) === 1 && s2Ha(w, 0) === 0,
  },
  {
    reason: 'S2VMID uses bits 15:8 without VMID16',
    stages: 0,
    broken: (w, x) =>
      !x.vmid16 && s2Vmid(w, 0) > 0xff && ((config(w, 0) & S2) !== 0 || (config(w, 0) === 5 && x.s2 && el1World(w, x))),
  },
];

const applies = (rule: SteRule, stages: number): boolean => rule.stages === 0 || (stages & rule.stages) !== 0;

/** True for an entry whose streams fault with C_BAD_STE. Allocates nothing. */
export function steIllegal(words: Words, features: Features): boolean {
  if (v(words, 0) === 0) return true;
  if (config(words, 0) < STE_CONFIG.BYPASS) return false;
  for (let i = 0; i < STE_RULES.length; i++) {
    const rule = STE_RULES[i]!;
    if (applies(rule, config(words, 0) & 3) && rule.broken(words, features)) return true;
  }
  return false;
}

/** Every reason why an entry is ILLEGAL; empty for a legal one. */
export function steProblems(words: Words, features: Features): string[] {
  if (v(words, 0) === 0) return ['V=0'];
  if (config(words, 0) < STE_CONFIG.BYPASS) return [];
  const stages = config(words, 0) & 3;
  return STE_RULES.filter((rule) => applies(rule, stages) && rule.broken(words, features)).map((rule) => rule.reason);
}
