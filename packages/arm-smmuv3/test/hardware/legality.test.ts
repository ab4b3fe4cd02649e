import { describe, expect, test } from 'vitest';
import type { SmmuConfig } from '../../src/config.ts';
import { CD } from '../../src/format/cd.ts';
import { STE } from '../../src/format/ste.ts';
import { cdProblems } from '../../src/hardware/cd-legality.ts';
import { ANY_FEATURES } from '../../src/hardware/features.ts';
import { steProblems } from '../../src/hardware/ste-legality.ts';
import {
  CDS,
  type CdFields,
  NESTED_STE,
  S1_CD,
  S1_PAGE,
  S1_ROOT,
  S1_STE,
  S2_PAGE,
  S2_ROOT,
  S2_STE,
  SmmuBoard,
  type SteFields,
  WALK_4K,
} from './board.ts';

interface Change<F> {
  readonly title: string;
  readonly fields: F;
  readonly illegal: boolean;
  readonly config?: Partial<SmmuConfig>;
}

const IOVA = 0x12_3456_7000n;

function unit(config: Partial<SmmuConfig> = {}): SmmuBoard {
  const board = SmmuBoard.running(config);
  board.map(S1_ROOT, WALK_4K[3], IOVA, 0x5000n | S1_PAGE);
  // Stage 2 as one 1 GiB block per table that nested walks touch, and the input itself.
  for (const ipa of [0n, IOVA]) board.map(S2_ROOT, WALK_4K[1], ipa, (ipa & ~0x3fff_ffffn) | (S2_PAGE & ~2n));
  board.cd(CDS, S1_CD);
  return board;
}

const STE_CHANGES: readonly (Change<SteFields> & { readonly base: SteFields })[] = [
  { title: 'stage 1', base: S1_STE, fields: {}, illegal: false },
  { title: 'stage 2', base: S2_STE, fields: {}, illegal: false },
  { title: 'nested', base: NESTED_STE, fields: {}, illegal: false },
  { title: 'V=0', base: S1_STE, fields: { V: false }, illegal: true },
  { title: 'stage 1 where there is none', base: S1_STE, fields: {}, illegal: true, config: { s1: false, ssidBits: 0 } },
  { title: 'nested where there is no stage 1', base: NESTED_STE, fields: {}, illegal: true, config: { s1: false } },
  { title: 'stage 2 where there is none', base: S2_STE, fields: {}, illegal: true, config: { s2: false } },
  { title: 'nested where there is no stage 2', base: NESTED_STE, fields: {}, illegal: true, config: { s2: false } },
  {
    title: 'S1Fmt=1, no CD2L',
    base: S1_STE,
    fields: { S1Fmt: 1, S1CDMax: 2, S1DSS: 2 },
    illegal: true,
    config: { twoLevelContexts: false },
  },
  {
    title: 'S1Fmt=2, no CD2L',
    base: S1_STE,
    fields: { S1Fmt: 2, S1CDMax: 2, S1DSS: 2 },
    illegal: true,
    config: { twoLevelContexts: false },
  },
  {
    title: 'S1Fmt=2 without substreams, no CD2L',
    base: S1_STE,
    fields: { S1Fmt: 2 },
    illegal: false,
    config: { twoLevelContexts: false },
  },
  {
    title: 'S1Fmt=3 acts as linear',
    base: S1_STE,
    fields: { S1Fmt: 3, S1CDMax: 2, S1DSS: 2 },
    illegal: false,
    config: { twoLevelContexts: false },
  },
  {
    title: 'S1CDMax above SSIDSIZE',
    base: S1_STE,
    fields: { S1CDMax: 9, S1DSS: 2 },
    illegal: true,
    config: { ssidBits: 8 },
  },
  {
    title: 'S1CDMax at SSIDSIZE',
    base: S1_STE,
    fields: { S1CDMax: 8, S1DSS: 2 },
    illegal: false,
    config: { ssidBits: 8 },
  },
  {
    title: 'S1CDMax where there are no substreams',
    base: S1_STE,
    fields: { S1CDMax: 20 },
    illegal: false,
    config: { ssidBits: 0 },
  },
  {
    title: 'S1ContextPtr beyond OAS',
    base: S1_STE,
    fields: { S1ContextPtr: 0x100_0000_0000n },
    illegal: true,
    config: { oas: 40 },
  },
  {
    title: 'S1ContextPtr beyond IAS, nested',
    base: { ...NESTED_STE, S2T0SZ: 24, S2SL0: 1 },
    fields: { S1ContextPtr: 0x100_0000_0000n },
    illegal: true,
    config: { oas: 40 },
  },
  { title: 'STRW=1', base: S1_STE, fields: { STRW: 1 }, illegal: true },
  { title: 'STRW=3', base: S1_STE, fields: { STRW: 3 }, illegal: true },
  { title: 'STRW=1 without EL2 streams', base: S1_STE, fields: { STRW: 1 }, illegal: false, config: { v32: false } },
  { title: 'STRW=1 with stage 2 on', base: NESTED_STE, fields: { STRW: 1 }, illegal: false },
  { title: 'S1STALLD', base: S1_STE, fields: { S1STALLD: true }, illegal: true },
  { title: 'S1STALLD with stage 2 alone', base: S2_STE, fields: { S1STALLD: true }, illegal: false },
  { title: 'EATS without ATS', base: S2_STE, fields: { EATS: 2 }, illegal: false },
  { title: 'S2AA64=0', base: S2_STE, fields: { S2AA64: false }, illegal: true },
  { title: 'S2TG=3', base: S2_STE, fields: { S2TG: 3 }, illegal: true },
  {
    title: 'S2TG not implemented',
    base: S2_STE,
    fields: { S2TG: 2, S2SL0: 2 },
    illegal: true,
    config: { granules: [12, 16] },
  },
  { title: 'S2T0SZ=15', base: S2_STE, fields: { S2T0SZ: 15 }, illegal: true },
  {
    title: 'S2T0SZ below 64-IAS',
    base: { ...S2_STE, S2SL0: 1 },
    fields: { S2T0SZ: 23 },
    illegal: true,
    config: { oas: 40 },
  },
  {
    title: 'S2T0SZ at 64-IAS',
    base: { ...S2_STE, S2SL0: 1 },
    fields: { S2T0SZ: 24 },
    illegal: false,
    config: { oas: 40 },
  },
  { title: 'S2T0SZ=39', base: S2_STE, fields: { S2T0SZ: 39, S2SL0: 0 }, illegal: false },
  { title: 'S2T0SZ=40', base: S2_STE, fields: { S2T0SZ: 40, S2SL0: 0 }, illegal: true },
  { title: 'S2SL0=3', base: S2_STE, fields: { S2SL0: 3 }, illegal: true },
  { title: 'level 1 for 48 bits: 512 tables', base: S2_STE, fields: { S2SL0: 1 }, illegal: true },
  { title: 'level 0 for 39 bits: less than one entry', base: S2_STE, fields: { S2T0SZ: 25 }, illegal: true },
  { title: 'level 0 for 40 bits: two entries', base: S2_STE, fields: { S2T0SZ: 24 }, illegal: false },
  {
    title: 'level 0 with 42-bit addresses',
    base: { ...S2_STE, S2T0SZ: 24 },
    fields: {},
    illegal: true,
    config: { oas: 42 },
  },
  { title: 'S2TTB beyond S2PS', base: S2_STE, fields: { S2PS: 0, S2TTB: 0x1_0000_0000n }, illegal: true },
  {
    title: 'S2TTB beyond OAS',
    base: { ...S2_STE, S2T0SZ: 24, S2SL0: 1 },
    fields: { S2TTB: 0x100_0000_0000n },
    illegal: true,
    config: { oas: 40 },
  },
  {
    title: 'S2TTB beyond 48 bits with 4 KiB',
    base: S2_STE,
    fields: { S2PS: 6, S2TTB: 0x1_0000_0000_0000n },
    illegal: true,
    config: { oas: 52 },
  },
  { title: 'S2ENDI', base: S2_STE, fields: { S2ENDI: true }, illegal: true },
  { title: 'S2HA', base: S2_STE, fields: { S2HA: true }, illegal: true },
  { title: 'S2HD', base: S2_STE, fields: { S2HD: true }, illegal: true },
  { title: 'S2S', base: S2_STE, fields: { S2S: true }, illegal: true },
  { title: 'S2FWB', base: S2_STE, fields: { S2FWB: true }, illegal: false },
  { title: '16-bit VMID, stage 2', base: S2_STE, fields: { S2VMID: 0x100 }, illegal: true, config: { vmid16: false } },
  {
    title: '16-bit VMID, stage 1 under EL1',
    base: S1_STE,
    fields: { S2VMID: 0x100 },
    illegal: true,
    config: { vmid16: false },
  },
  {
    title: '16-bit VMID, stage 1 under EL2',
    base: S1_STE,
    fields: { S2VMID: 0x100, STRW: 2 },
    illegal: false,
    config: { vmid16: false },
  },
  { title: '16-bit VMID, no stage 2', base: S1_STE, fields: { S2VMID: 0x100 }, illegal: false, config: { s2: false } },
  {
    title: '16-bit VMID, bypass',
    base: { V: true, Config: 4 },
    fields: { S2VMID: 0x100 },
    illegal: false,
    config: { vmid16: false },
  },
  {
    title: 'stage-2 rubbish under stage 1',
    base: S1_STE,
    fields: { S2TG: 3, S2T0SZ: 1, S2ENDI: true, S2S: true },
    illegal: false,
  },
  {
    title: 'everything under abort',
    base: { V: true, Config: 3 },
    fields: { S2TG: 3, STRW: 1, S1STALLD: true },
    illegal: false,
  },
];

describe('ILLEGAL stream table entries, IHI 0070 5.2.2', () => {
  test.each(STE_CHANGES)('$title', ({ base, fields, illegal, config }) => {
    const board = unit(config);
    board.ste(4, { ...base, ...fields });
    const result = board.dma(4, IOVA, { pasid: -1 });
    if (illegal) {
      expect(result).toEqual({ outcome: 'fault', event: 'C_BAD_STE', record: [4, 4, 0, 0, 0, 0, 0, 0] });
      return;
    }
    expect(result.event).not.toBe('C_BAD_STE');
  });

  test('Config 0xx aborts in silence, with a substream too', () => {
    for (const Config of [0, 1, 2, 3]) {
      const board = unit();
      board.ste(1, { V: true, Config });
      expect(board.dma(1, IOVA, { pasid: 9 })).toEqual({ outcome: 'fault', event: 'ABORT', record: [] });
    }
  });

  test('bypass has its own size check', () => {
    const board = unit({ oas: 40 });
    board.ste(1, { V: true, Config: 4 });
    expect(board.dma(1, 0xff_ffff_f000n)).toMatchObject({ outcome: 'bypass', pa: 0xff_ffff_f000n });
    // F_ADDR_SIZE, RnW=1, CLASS=IN, InputAddr.
    expect(board.dma(1, 0x8000_0100_0000_0004n)).toEqual({
      outcome: 'fault',
      event: 'F_ADDR_SIZE',
      record: [0x11, 1, 0, 0x208, 4, 0x8000_0100, 0, 0],
    });
  });

  test('problems name every reason of an entry', () => {
    const words = STE.encode({ ...S2_STE, S2TG: 3, S2PS: 0, S2TTB: 0x1_0000_0000n });
    expect(steProblems(words, ANY_FEATURES).join('; ')).toMatch(/S2TG.*S2TTB/);
  });
});

const CD_CHANGES: readonly Change<CdFields>[] = [
  { title: 'the control', fields: {}, illegal: false },
  { title: 'V=0', fields: { V: false }, illegal: true },
  { title: 'AA64=0', fields: { AA64: false }, illegal: true },
  { title: 'S=1', fields: { S: true }, illegal: true },
  { title: 'A=0', fields: { A: false }, illegal: true },
  { title: 'ENDI', fields: { ENDI: true }, illegal: true },
  { title: 'ENDI with both halves off', fields: { ENDI: true, EPD0: true, EPD1: true }, illegal: false },
  { title: 'HA', fields: { HA: true }, illegal: true },
  { title: 'HD', fields: { HD: true }, illegal: true },
  { title: '16-bit ASID', fields: { ASID: 0x100 }, illegal: true, config: { asid16: false } },
  { title: '16-bit ASID where there are such', fields: { ASID: 0x100 }, illegal: false },
  { title: 'T0SZ=15', fields: { T0SZ: 15 }, illegal: true },
  { title: 'T0SZ=39', fields: { T0SZ: 39 }, illegal: false },
  { title: 'T0SZ=40', fields: { T0SZ: 40 }, illegal: true },
  {
    title: 'T0SZ=12 with 64 KiB and 52-bit input',
    fields: { T0SZ: 12, TG0: 1 },
    illegal: false,
    config: { va52: true },
  },
  { title: 'T0SZ=12 with 4 KiB and 52-bit input', fields: { T0SZ: 12 }, illegal: true, config: { va52: true } },
  {
    title: 'T0SZ=11 with 64 KiB and 52-bit input',
    fields: { T0SZ: 11, TG0: 1 },
    illegal: true,
    config: { va52: true },
  },
  { title: 'TG0=3', fields: { TG0: 3 }, illegal: true },
  { title: 'TG0 not implemented', fields: { TG0: 2 }, illegal: true, config: { granules: [12, 16] } },
  { title: 'TTB0 beyond IPS', fields: { IPS: 0, TTB0: 0x1_0000_0000n }, illegal: true },
  { title: 'TTB0 beyond OAS', fields: { TTB0: 0x100_0000_0000n }, illegal: true, config: { oas: 40 } },
  {
    title: 'TTB0 of 52 bits with 64 KiB',
    fields: { TG0: 1, IPS: 6, TTB0: 0xf_0000_0000_0000n },
    illegal: false,
    config: { oas: 52 },
  },
  {
    title: 'TTB0 of 52 bits with 4 KiB',
    fields: { IPS: 6, TTB0: 0xf_0000_0000_0000n },
    illegal: true,
    config: { oas: 52 },
  },
  {
    title: 'half 0 rubbish with EPD0',
    fields: { EPD0: true, T0SZ: 63, TG0: 3, TTB0: 0xf_ffff_ffff_f000n },
    illegal: false,
  },
  { title: 'half 1 rubbish with EPD1', fields: { T1SZ: 63, TG1: 0, TTB1: 0xf_ffff_ffff_f000n }, illegal: false },
  { title: 'half 1: TG1=0', fields: { EPD1: false, T1SZ: 16, TG1: 0 }, illegal: true },
  { title: 'half 1: T1SZ=15', fields: { EPD1: false, T1SZ: 15, TG1: 2 }, illegal: true },
  { title: 'half 1: TTB1', fields: { EPD1: false, T1SZ: 16, TG1: 2, TTB1: 0xf_0000_0000_0000n }, illegal: true },
  { title: 'half 1 as it should be', fields: { EPD1: false, T1SZ: 16, TG1: 2, TTB1: S1_ROOT }, illegal: false },
];

describe('ILLEGAL context descriptors, IHI 0070 5.4.1', () => {
  test.each(CD_CHANGES)('$title', ({ fields, illegal, config }) => {
    const board = unit(config);
    board.ste(4, S1_STE);
    board.cd(CDS, { ...S1_CD, ...fields });
    const result = board.dma(4, IOVA);
    if (illegal) expect(result).toEqual({ outcome: 'fault', event: 'C_BAD_CD', record: [0xa, 4, 0, 0, 0, 0, 0, 0] });
    else expect(result.event).not.toBe('C_BAD_CD');
  });

  test('EL2 without E2H: EPD0 and EPD1 are ignored, half 1 does not exist, ASID is unused', () => {
    const board = unit({ asid16: false });
    board.ste(4, { ...S1_STE, STRW: 2 });
    board.cd(CDS, { ...S1_CD, EPD0: true, EPD1: false, T1SZ: 63, ASID: 0xffff });
    expect(board.dma(4, IOVA)).toMatchObject({ outcome: 'translated', pa: 0x5000n });
    expect(board.dma(4, IOVA | (0x1ffn << 55n)).event).toBe('F_TRANSLATION');
    board.cd(CDS, { ...S1_CD, EPD0: true, TG0: 3 });
    board.command([5, 4, 1, 0]);
    expect(board.dma(4, IOVA).event).toBe('C_BAD_CD');
  });

  test('problems name every reason of a descriptor', () => {
    const words = CD.encode({ ...S1_CD, TG0: 3, AA64: false });
    expect(cdProblems(words, ANY_FEATURES, { el2: false, stallDisabled: false }).join('; ')).toMatch(/AA64.*TG0/);
  });
});
