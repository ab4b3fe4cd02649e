import { bytesToWords, hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import { CD, L1CD } from '../../src/format/cd.ts';
import { S1_PAGE, S1_TABLE, S2_PAGE } from '../../src/format/pte.ts';
import { L1STD, STE } from '../../src/format/ste.ts';

const words64 = (...values: bigint[]) =>
  new Uint32Array(values.flatMap((v) => [Number(v & 0xffff_ffffn), Number(v >> 32n)]));
const full = (...values: bigint[]) => words64(...values, ...Array<bigint>(8 - values.length).fill(0n));

describe('STE, IHI 0070 5.2', () => {
  test('stage 2 as Linux 6.12 wrote it (capture b-stage2-4k-strict, stream 8)', () => {
    const ste = full(0xdn, 0n, 0x044c_3594_0000_0001n, 0x4831_2000n);
    expect(STE.decode(ste)).toMatchObject({
      V: true,
      Config: 6,
      S2VMID: 1,
      S2T0SZ: 20,
      S2SL0: 2,
      S2IR0: 1,
      S2OR0: 1,
      S2SH0: 3,
      S2TG: 0,
      S2PS: 4,
      S2AA64: true,
      S2PTW: true,
      S2R: true,
      S2S: false,
      S2TTB: 0x4831_2000n,
    });
    expect(STE.reserved(ste)).toEqual([]);
    expect(
      STE.encode({
        V: true,
        Config: 6,
        S2VMID: 1,
        S2T0SZ: 20,
        S2SL0: 2,
        S2IR0: 1,
        S2OR0: 1,
        S2SH0: 3,
        S2PS: 4,
        S2AA64: true,
        S2PTW: true,
        S2R: true,
        S2TTB: 0x4831_2000n,
      }),
    ).toEqual(ste);
  });

  test('stage 1 fields, worked by hand: S1CDMax in 63:59, S1DSS in 65:64, EATS in 93:92', () => {
    const ste = STE.encode({
      V: true,
      Config: 5,
      S1Fmt: 2,
      S1ContextPtr: 0x12_3456_7fc0n,
      S1CDMax: 10,
      S1DSS: 2,
      S1CIR: 1,
      S1COR: 1,
      S1CSH: 3,
      S1STALLD: true,
      EATS: 1,
      STRW: 2,
      SHCFG: 1,
    });
    expect(ste).toEqual(full(0x5000_0012_3456_7febn, 0x0000_1000_9800_00d6n));
  });

  test('edges of words 1 to 3', () => {
    expect(STE.encode({ MEV: true, S2FWB: true, MTCFG: true })).toEqual(full(0n, 0x0000_0010_0208_0000n));
    expect(STE.encode({ S2TTB: 0xf_ffff_ffff_f000n, S2DS: true, S2SL0_2: true })).toEqual(
      full(0n, 0n, 0n, 0x000f_ffff_ffff_f00cn),
    );
  });

  test('an L1STD from the capture: span 9 at 0x4ba60000', () => {
    const std = words64(0x4ba6_0009n);
    expect(L1STD.decode(std)).toEqual({ Span: 9, L2Ptr: 0x4ba6_0000n });
  });
});

describe('CD, IHI 0070 5.4', () => {
  test('a 48-bit 4K descriptor, worked by hand', () => {
    const cd = CD.encode({
      T0SZ: 16,
      TG0: 0,
      IR0: 1,
      OR0: 1,
      SH0: 3,
      EPD1: true,
      V: true,
      IPS: 5,
      AA64: true,
      R: true,
      A: true,
      ASET: true,
      ASID: 0x1234,
      TTB0: 0x8765_4000n,
      MAIR0: 0xf404_ff44,
    });
    expect(cd).toEqual(full(0x1234_e205_c000_3510n, 0x8765_4000n, 0n, 0xf404_ff44n));
  });

  test('half 1, HTTU and the word boundaries', () => {
    const cd = CD.encode({ T1SZ: 25, TG1: 2, TTB1: 0xf_ffff_ffff_fff0n, HAD1: true, HA: true, HD: true, S: true });
    expect(cd).toEqual(full(0x0000_1c00_0099_0000n, 0n, 0x000f_ffff_ffff_fff2n));
  });

  test('L1CD', () => {
    expect(L1CD.decode(words64(0x00ab_cdef_1234_5001n))).toEqual({ V: true, L2Ptr: 0x00ab_cdef_1234_5000n });
  });
});

describe('descriptors, Arm ARM D8.3', () => {
  test('a stage-1 page as Linux writes it', () => {
    expect(S1_PAGE.decode(words64(0x0060_0000_4567_8f4bn))).toMatchObject({
      Type: 3,
      AttrIndx: 2,
      AP1: true,
      AP2: false,
      SH: 3,
      AF: true,
      nG: true,
      OA: 0x4567_8000n,
      PXN: true,
      UXN: true,
    });
  });
  test('a stage-2 page', () => {
    expect(S2_PAGE.decode(words64(0x0000_0000_435a_e7ffn))).toMatchObject({
      MemAttr: 15,
      S2AP: 3,
      SH: 3,
      AF: true,
      OA: 0x435a_e000n,
    });
  });
  test('a table with hierarchical attributes', () => {
    expect(S1_TABLE.decode(words64(0x7800_0000_0001_2003n))).toMatchObject({
      NextTable: 0x12000n,
      APTable: 3,
      XNTable: true,
      PXNTable: true,
    });
  });
});

test('hex in memory order reads as little-endian words', () => {
  expect([...bytesToWords(hexToBytes('0d00000000000000'))]).toEqual([0xd, 0]);
});
