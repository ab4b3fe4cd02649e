import { hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import { armSmmuV3 } from '../../src/index.ts';

const { decoder } = armSmmuV3;
const decode = (kind: string, hex: string) => decoder.decode(kind, hexToBytes(hex));

describe('decode', () => {
  test('kinds and sizes', () => {
    expect(decoder.kinds.map((kind) => [kind, decoder.sizes(kind)])).toEqual([
      ['command', [16]],
      ['event', [32]],
      ['ste', [64]],
      ['cd', [64]],
    ]);
    expect(decoder.sizes('pte')).toEqual([]);
    expect(() => decode('pte', '00')).toThrow(RangeError);
    expect(() => decode('command', '00')).toThrow(RangeError);
  });

  test('a ranged invalidation', () => {
    expect(decode('command', '12503000111122220157341200' + '80ffff')).toEqual({
      kind: 'command',
      name: 'CMD_TLBI_NH_VA',
      fields: {
        Opcode: 0x12,
        VMID: 0x1111,
        ASID: 0x2222,
        NUM: 5,
        SCALE: 3,
        Leaf: true,
        TTL: 3,
        TG: 1,
        Address: 0xffff_8000_1234_5000n,
      },
      labels: { TG: '4K' },
      raw: '1250300011112222015734120080ffff',
      reserved: [],
      problems: [],
    });
  });

  test('reserved bits are listed, and the command keeps its name', () => {
    expect(decode('command', '46200000000000000200000000000080')).toMatchObject({
      name: 'CMD_SYNC',
      labels: { CS: 'SIG_SEV' },
      reserved: ['[65:65]=0x1', '[127:127]=0x1'],
      problems: [],
    });
  });

  test('bit 10 is SSec where a stream is named, and a reserved bit of a TLBI', () => {
    expect(decode('command', '10040000010000000000000000000000')).toMatchObject({
      name: 'CMD_TLBI_NH_ALL',
      fields: { Opcode: 0x10, VMID: 1 },
      reserved: ['[10:10]=0x1'],
      problems: [],
    });
    expect(decode('command', '03000000010000000000000000000000').fields).toMatchObject({ SSec: false });
  });

  test.each([
    ['unknown opcode', '99000000000000000000000000000000', /0x99/],
    ['SYNC with CS=3', '46300000000000000000000000000000', /CS=3/],
    ['TG without range', '12000000000000000004000000000000', /TG/],
    ['SSec', '03040000000000000100000000000000', /SSec/],
    ['EL3', '18000000000000000000000000000000', /EL3/],
    ['ATC_INV of 2^53 pages', '40000000000000003500000000000000', /Size/],
    ['PRI_RESP 3', '41000000000000000030000000000000', /Resp/],
  ])('not legal: %s', (_title, hex, problem) => {
    const { name, problems } = decode('command', hex);
    expect(name).toBe('UNKNOWN');
    expect(problems.join()).toMatch(problem);
  });

  test('events, known and not', () => {
    const bytes = `13${'00'.repeat(31)}`;
    expect(decode('event', bytes)).toMatchObject({ name: 'F_PERMISSION', labels: { CLASS: 'CD' }, problems: [] });
    expect(decode('event', `e3${'00'.repeat(31)}`)).toMatchObject({
      name: 'UNKNOWN',
      problems: ['type 0xe3 is implementation defined'],
    });
    expect(decode('event', `7f${'00'.repeat(31)}`)).toMatchObject({
      name: 'UNKNOWN',
      problems: ['type 0x7f is no event'],
    });
  });

  test('the STE and CD of a Linux kernel (capture a-stage1-4k-strict, stream 8)', () => {
    expect(decode('ste', `0bb0604300000000d6${'00'.repeat(55)}`)).toMatchObject({
      name: 'STE',
      fields: { V: true, Config: 5, S1ContextPtr: 0x4360_b000n, S1DSS: 2, S1CSH: 3 },
      labels: { Config: 'S1_TRANS', S1DSS: 'SUBSTREAM0' },
      reserved: [],
      problems: [],
    });
    expect(
      decode('cd', `103500c004e201000030614300000000${'00'.repeat(8)}44ff04f4ffffffff${'00'.repeat(32)}`),
    ).toMatchObject({
      name: 'CD',
      fields: {
        T0SZ: 16,
        TG0: 0,
        EPD1: true,
        IPS: 4,
        ASID: 1,
        ASET: true,
        R: true,
        A: true,
        TTB0: 0x4361_3000n,
        MAIR0: 0xf404_ff44,
      },
      reserved: [],
      problems: [],
    });
  });

  test('an entry that is off is legal; one that no unit takes says why', () => {
    expect(decode('ste', '00'.repeat(64))).toMatchObject({ name: 'STE', problems: [] });
    expect(decode('cd', '00'.repeat(64))).toMatchObject({ name: 'CD', problems: [] });
    // Config = S2_TRANS with S2AA64 = 0, S2TG = 0, S2T0SZ = 0.
    const bad = decode('ste', `0d${'00'.repeat(63)}`);
    expect(bad.name).toBe('UNKNOWN');
    expect(bad.problems.join('; ')).toMatch(/S2AA64.*S2T0SZ/);
    expect(bad.fields.Config).toBe(6);
  });

  test('fault names', () => {
    expect([-1, 0x10, 0x0a, 0x55].map((code) => armSmmuV3.faultName(code))).toEqual([
      'ABORT',
      'F_TRANSLATION',
      'C_BAD_CD',
      '0x55',
    ]);
  });
});
