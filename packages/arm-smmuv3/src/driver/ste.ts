import { STE, STE_CONFIG } from '../format/ste.ts';
import type { CdTableRef } from './context-table.ts';
import type { EntryKind } from './entry-writer.ts';
import { addressSizeCode, type Features } from './features.ts';
import { addMask, dropMask, fieldMask } from './field-masks.ts';
import type { Stage2Geometry } from './geometry.ts';

/** STE.S1DSS: what becomes of requests without a SubstreamID. */
export const S1DSS = { TERMINATE: 0, BYPASS: 1, SUBSTREAM0: 2 } as const;
const STRW_NS_EL1 = 0;
const SHCFG_INCOMING = 1;
/** Write-back, read-allocate; inner shareable: the driver's tables sit in ordinary memory. */
const WALK_WB = 1;
const ISH = 3;
const S2TG: Readonly<Record<number, number>> = { 12: 0, 16: 1, 14: 2 };

/** What a stage-2 STE says of its domain. */
export interface Stage2Ref {
  readonly vmid: number;
  readonly root: bigint;
  readonly geometry: Stage2Geometry;
  /** S2FWB: the table's MemAttr use the forced encoding. */
  readonly fwb: boolean;
}

export const abortSte = (): Uint32Array => STE.encode({ V: true, Config: STE_CONFIG.ABORT });

export const bypassSte = (features: Features): Uint32Array =>
  STE.encode({ V: true, Config: STE_CONFIG.BYPASS, SHCFG: features.attrTypesOverride ? SHCFG_INCOMING : 0 });

/** Stage 1 through a CD table. `s1dss` decides for requests without a SubstreamID. */
export function stage1Ste(features: Features, table: CdTableRef, s1dss: number): Uint32Array {
  const bypassing = s1dss === S1DSS.BYPASS && features.attrTypesOverride;
  return STE.encode({
    V: true,
    Config: STE_CONFIG.S1,
    S1Fmt: table.format,
    S1ContextPtr: BigInt(table.pa),
    S1CDMax: table.maxLg2,
    S1DSS: s1dss,
    S1CIR: WALK_WB,
    S1COR: WALK_WB,
    S1CSH: ISH,
    S1STALLD: features.stallModel === 0,
    STRW: STRW_NS_EL1,
    SHCFG: bypassing ? SHCFG_INCOMING : 0,
  });
}

export function stage2Ste(features: Features, stage2: Stage2Ref): Uint32Array {
  const { geometry } = stage2;
  return STE.encode({
    V: true,
    Config: STE_CONFIG.S2,
    S2FWB: stage2.fwb,
    SHCFG: features.attrTypesOverride ? SHCFG_INCOMING : 0,
    S2VMID: stage2.vmid,
    S2T0SZ: 64 - geometry.inputBits,
    S2SL0: geometry.sl0,
    S2IR0: WALK_WB,
    S2OR0: WALK_WB,
    S2SH0: ISH,
    S2TG: S2TG[features.granuleLg2]!,
    S2PS: addressSizeCode(features.oasBits),
    S2AA64: true,
    S2PTW: true,
    S2S: features.stallModel === 2,
    S2R: true,
    S2TTB: stage2.root,
  });
}

/**
 * The guest's stage 1 over its VM's stage 2. `guest` holds words 0 and 1 of the guest's STE, checked and without EATS.
 * Events may merge: a guest must not flood the host's queue.
 */
export function nestedSte(features: Features, stage2: Stage2Ref, guest: Uint32Array): Uint32Array {
  const ste = stage2Ste(features, stage2);
  const merge = STE.encode({ MEV: true, Config: STE_CONFIG.NESTED });
  for (let i = 0; i < 4; i++) ste[i]! |= guest[i]! | merge[i]!;
  return ste;
}

const ALWAYS = fieldMask(STE, 'V');
const CONFIGURED = fieldMask(STE, 'V', 'Config');
const STAGE1 = fieldMask(
  STE,
  ...(['S1Fmt', 'S1ContextPtr', 'S1CDMax', 'S1DSS', 'S1CIR', 'S1COR', 'S1CSH'] as const),
  ...(['S1STALLD', 'STRW', 'EATS', 'MEV', 'S2VMID'] as const),
);
const STAGE2 = fieldMask(
  STE,
  ...(['S2FWB', 'EATS', 'SHCFG', 'MEV', 'S2VMID', 'S2T0SZ', 'S2SL0', 'S2IR0', 'S2OR0', 'S2SH0', 'S2TG'] as const),
  ...(['S2PS', 'S2AA64', 'S2ENDI', 'S2PTW', 'S2S', 'S2R', 'S2TTB'] as const),
);
const SHCFG = fieldMask(STE, 'SHCFG');
const MEV = fieldMask(STE, 'MEV');
const EATS_LOW = STE.encode({ EATS: 1 });

/** Which bits of an STE hardware looks at, by its own V and Config (IHI 0070 5.2). */
export const STE_KIND: EntryKind = {
  used(entry, mask) {
    mask.set(ALWAYS);
    if (!STE.get(entry, 'V')) return;
    addMask(mask, CONFIGURED);
    const config = STE.get(entry, 'Config');
    if (config < STE_CONFIG.BYPASS) return;
    if (config & 1) addMask(mask, STAGE1);
    if (config & 2) addMask(mask, STAGE2);
    const bypasses = config === STE_CONFIG.BYPASS || ((config & 1) !== 0 && STE.get(entry, 'S1DSS') === S1DSS.BYPASS);
    if (bypasses) addMask(mask, SHCFG);
  },
  /** MEV changes nothing but merging; EATS bit 0 may flip unless split-stage ATS or stage-2 stalls give it a meaning. */
  safe(current, target, mask) {
    mask.set(MEV);
    const split = [current, target].some((ste) => STE.get(ste, 'EATS') >= 2 || STE.get(ste, 'S2S'));
    if (!split) addMask(mask, EATS_LOW);
    const both = new Uint32Array(mask.length);
    for (const ste of [current, target]) {
      const unused = new Uint32Array(mask.length).fill(0xffff_ffff);
      STE_KIND.used(ste, both);
      dropMask(unused, both);
      dropMask(mask, unused);
    }
  },
};
