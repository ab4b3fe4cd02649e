import { describe, expect, test } from 'vitest';
import {
  CAP,
  CCMD,
  ECAP,
  FSTS,
  GCMD,
  GSTS,
  IOTLB,
  IQA,
  IQERCD,
  IRTA,
  IVA,
  REGISTERS,
  RTADDR,
} from '../../src/format/index.ts';

const word = (value: bigint): Uint32Array => Uint32Array.of(Number(value & 0xffff_ffffn), Number(value >> 32n));

describe('identification registers as QEMU 10.0 showed them to Linux', () => {
  test('legacy: CAP 0xd2008c222f0606', () => {
    const cap = CAP.decode(word(0xd2_008c_222f_0606n));
    expect(cap).toMatchObject({ ND: 6, RWBF: false, CM: false, SAGAW: 6, MGAW: 47, ZLR: false, FRO: 0x22 });
    expect(cap).toMatchObject({ SSLPS: 3, PSI: true, NFR: 0, MAMV: 18, DWD: true, DRD: true, FS1GP: false });
    expect(CAP.reserved(word(0xd2_008c_222f_0606n))).toEqual([]);
  });

  test('first stage: CAP has FS1GP, ECAP 0x880000f00f4e has SMTS and FSTS', () => {
    expect(CAP.get(word(0x1d2_008c_222f_0606n), 'FS1GP')).toBe(true);
    const ecap = ECAP.decode(word(0x8800_00f0_0f4en));
    expect(ecap).toMatchObject({ C: false, QI: true, DT: true, IR: true, EIM: false, PT: true, SC: false, IRO: 0xf });
    expect(ecap).toMatchObject({ MHMV: 15, NEST: false, PASID: false, SMTS: true, SSTS: false, FSTS: true });
    expect(ecap).toMatchObject({ SMPWCS: false, RPS: false });
  });
});

describe('control registers', () => {
  test('GSTS 0xc7000000: translation, root pointer, queue, remapping and its pointer are on', () => {
    expect(GSTS.decode(Uint32Array.of(0xc700_0000))).toEqual({
      CFIS: false,
      IRTPS: true,
      IRES: true,
      QIES: true,
      WBFS: false,
      RTPS: true,
      TES: true,
    });
    expect(GCMD.encode({ TE: true, SRTP: true, WBF: true })[0]).toBe(0xc800_0000);
  });

  test('RTADDR 0x6f58400 asks for scalable mode; IQA 0x5274801 for 256 entries of 32 bytes', () => {
    expect(RTADDR.decode(word(0x6f5_8400n))).toEqual({ SSIRWE: false, TTM: 1, RTA: 0x6f5_8000n });
    expect(IQA.decode(word(0x527_4801n))).toEqual({ QS: 1, DW: true, IQA: 0x527_4000n });
    expect(IRTA.decode(word(0x530_000fn))).toEqual({ S: 15, EIME: false, IRTA: 0x530_0000n });
  });

  test('register-based invalidation', () => {
    expect(CCMD.encode({ ICC: true, CIRG: 3, FM: 2, SID: 0x1234, DID: 5 })).toEqual(word(0xe000_0002_1234_0005n));
    expect(CCMD.encode({ CAIG: 1 })).toEqual(word(0x0800_0000_0000_0000n));
    expect(IOTLB.encode({ IVT: true, IIRG: 3, DR: true, DW: true, DID: 0xffff })).toEqual(word(0xb003_ffff_0000_0000n));
    expect(IOTLB.encode({ IAIG: 1 })).toEqual(word(0x0200_0000_0000_0000n));
    expect(IVA.encode({ ADDR: 0x1234_5000n, IH: true, AM: 9 })).toEqual(word(0x1234_5049n));
  });

  test('status registers', () => {
    expect(FSTS.decode(Uint32Array.of(0x0313))).toMatchObject({ PFO: true, PPF: true, IQE: true, FRI: 3 });
    expect(FSTS.decode(Uint32Array.of(0x60))).toMatchObject({ PFO: false, ICE: true, ITE: true });
    expect(IQERCD.decode(word(0xaaaa_bbbb_0000_0004n))).toEqual({ IQEI: 4, ITESID: 0xbbbb, ICESID: 0xaaaa });
  });

  test('offsets of the register map', () => {
    const at = Object.fromEntries(Object.entries(REGISTERS).map(([name, register]) => [name, register.at]));
    expect(at).toMatchObject({ GCMD: 0x18, RTADDR: 0x20, CCMD: 0x28, FSTS: 0x34, FECTL: 0x38, FEUADDR: 0x44 });
    expect(at).toMatchObject({ PMEN: 0x64, IQH: 0x80, IQT: 0x88, IQA: 0x90, ICS: 0x9c, IQERCD: 0xb0, IRTA: 0xb8 });
    expect(at).toMatchObject({ PQH: 0xc0, PQA: 0xd0, PRS: 0xdc, PECTL: 0xe0 });
  });
});
