import { bytesToWords, hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import {
  CONTEXT_ENTRY,
  FAULT_CONDITIONS,
  FAULT_RECORD,
  FIRST_STAGE_PTE,
  IRTE,
  IRTE_POSTED,
  PASID_DIRECTORY_ENTRY,
  PASID_ENTRY,
  ROOT_ENTRY,
  SCALABLE_CONTEXT_ENTRY,
  SCALABLE_ROOT_ENTRY,
  SECOND_STAGE_PTE,
} from '../../src/format/index.ts';

const words = (...quads: bigint[]): Uint32Array =>
  Uint32Array.from(quads.flatMap((q) => [Number(q & 0xffff_ffffn), Number(q >> 32n)]));

describe('structures as a Linux 7.2 guest wrote them (captures A and C)', () => {
  test('legacy context entry of 00:02.0: domain 3, 48 bits', () => {
    expect(CONTEXT_ENTRY.decode(words(0x7428001n, 0x302n))).toEqual({
      P: true,
      FPD: false,
      TT: 0,
      SSPTPTR: 0x7428000n,
      AW: 2,
      DID: 3,
    });
  });

  test('scalable context entry of 00:02.0: PDTS=2', () => {
    const entry = SCALABLE_CONTEXT_ENTRY.decode(words(0x6f5b401n, 0n, 0n, 0n));
    expect(entry).toMatchObject({ P: true, DTE: false, PDTS: 2, PASIDDIRPTR: 0x6f5b000n, RID_PASID: 0 });
    expect(SCALABLE_CONTEXT_ENTRY.get(words(0x6f5b405n), 'DTE')).toBe(true);
  });

  test('first-stage PASID entry of 00:02.0', () => {
    const entry = PASID_ENTRY.decode(words(0x49n, 0x3n, 0x730b000n, 0n, 0n, 0n, 0n, 0n));
    expect(entry).toMatchObject({ P: true, AW: 2, PGTT: 1, DID: 3, FSPTPTR: 0x730b000n, FSPM: 0, SRE: false });
  });

  test('page-table entries: software-use bits are neither fields nor reserved', () => {
    expect(SECOND_STAGE_PTE.reserved(words(0x8d4d403n))).toEqual([]);
    expect(SECOND_STAGE_PTE.decode(words(0x8d4d403n))).toMatchObject({ R: true, W: true, ADDR: 0x8d4d000n });
    expect(FIRST_STAGE_PTE.reserved(words(0x8bdf227n))).toEqual([]);
    expect(FIRST_STAGE_PTE.decode(words(0x8bdf0e7n))).toMatchObject({ P: true, RW: true, US: true, A: true, D: true });
    expect(FIRST_STAGE_PTE.get(words(0x8bdf0e7n), 'PS')).toBe(true);
  });

  test('interrupt-remapping entry 0: vector 0x23, source ff:00.0', () => {
    expect(IRTE.decode(words(0x10000230009n, 0x4ff00n))).toMatchObject({
      P: true,
      RH: true,
      V: 0x23,
      DST: 0x100,
      SID: 0xff00,
      SQ: 0,
      SVT: 1,
    });
  });
});

describe('structures with each field alone, bit positions as printed in the manual', () => {
  test.each([
    ['root entry', ROOT_ENTRY.encode({ P: true, CTP: 0x1234_5000n }), [0x1234_5001n, 0n]],
    ['scalable root', SCALABLE_ROOT_ENTRY.encode({ UP: true, UCTP: 0xabc000n }), [0n, 0xabc001n]],
    ['context AW', CONTEXT_ENTRY.encode({ TT: 2, AW: 3, DID: 0xffff }), [8n, 0xff_ff03n]],
    ['context DID', CONTEXT_ENTRY.encode({ FPD: true, DID: 1 }), [2n, 0x100n]],
    [
      'scalable context',
      SCALABLE_CONTEXT_ENTRY.encode({ PASIDE: true, PRE: true, PDTS: 7, RID_PASID: 0xf_ffff, RID_PRIV: true }),
      [0xe18n, 0x1f_ffffn, 0n, 0n],
    ],
    ['PASID directory', PASID_DIRECTORY_ENTRY.encode({ P: true, FPD: true, SMPTBLPTR: 0x7000n }), [0x7003n]],
    [
      'PASID entry, second stage',
      PASID_ENTRY.encode({ P: true, AW: 2, PGTT: 2, SSADE: true, SSPTPTR: 0x9000n, DID: 0x8001, PWSNP: true }),
      [0x9289n, 0x80_8001n, 0n, 0n, 0n, 0n, 0n, 0n],
    ],
    [
      'PASID entry, nested',
      PASID_ENTRY.encode({ PGTT: 3, PGSNP: true, SRE: true, FSPM: 1, WPE: true, EAFE: true, FSPTPTR: 0x5000n }),
      [0xc0n, 0x100_0000n, 0x5095n, 0n, 0n, 0n, 0n, 0n],
    ],
    [
      'second-stage leaf',
      SECOND_STAGE_PTE.encode({ W: true, A: true, D: true, SNP: true, IW: true }),
      [0x4000_0000_0000_0b02n],
    ],
    ['first-stage leaf', FIRST_STAGE_PTE.encode({ EA: true, PS: true, D: true, A: true }), [0x4e0n]],
    [
      'posted IRTE',
      IRTE_POSTED.encode({ IM: true, 'PDA[31:6]': 1, 'PDA[63:32]': 0x12, V: 0x55 }),
      [0x40_0055_8000n, 0x12_0000_0000n],
    ],
  ] as const)('%s', (_title, got, want) => {
    expect(got).toEqual(words(...want));
  });
});

describe('fault record', () => {
  test('a write by 01:00.0 to 0x1000 with reason 5, as the recording register held it', () => {
    const record = FAULT_RECORD.decode(words(0x1000n, 0x8000_0005_0000_0100n));
    expect(record).toMatchObject({ FI: 0x1000n, SID: 0x100, FR: 5, F: true, T1: false, T2: false, PP: false });
  });

  test('fields of the high quadword', () => {
    const raw = FAULT_RECORD.encode({ SID: 0x1234, T1: true, PP: true, PRIV: true, EXE: true, FR: 0x71, PV: 0xabcde });
    expect(raw).toEqual(words(0n, 0x4abc_de71_e000_1234n));
    expect(FAULT_RECORD.encode({ T2: true, AT: 2 })).toEqual(words(0n, 0x2000_0000_1000_0000n));
  });

  test('conditions by code', () => {
    expect(FAULT_CONDITIONS.get(0x41)).toMatchObject({ name: 'SCT.2', qualified: true, reason: 'bad-device' });
    expect(FAULT_CONDITIONS.get(0x50)).toMatchObject({ name: 'SPD.1', qualified: false });
    expect(FAULT_CONDITIONS.get(0x71)).toMatchObject({ name: 'SFS.2', reason: 'not-present' });
    expect([...FAULT_CONDITIONS.keys()]).toEqual([...FAULT_CONDITIONS.keys()].sort((a, b) => a - b));
  });
});

test('words are little-endian', () => {
  expect(bytesToWords(hexToBytes('0180420700000000'))).toEqual(words(0x7428001n));
});
