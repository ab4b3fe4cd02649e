import { bytesToHex } from '@iommukit/bits';
import { ACCESS } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { attach, attached, BYTE, map, probe, S, start, startWithout, unmap } from './rig.ts';

describe('MAP (§5.13.6.5)', () => {
  test('unknown flags INVAL, MMIO only when negotiated', () => {
    expect(attached().status(map(1, 0n, 0xfffn, 0n, 8))).toBe(S.INVAL);
    expect(attached().status(map(1, 0n, 0xfffn, 0n, 7))).toBe(S.OK);
    const rig = startWithout(5n);
    rig.status(attach(1, 0x10));
    expect(rig.status(map(1, 0n, 0xfffn, 0n, 4))).toBe(S.INVAL);
  });

  test('unknown domain NOENT, bypass domain INVAL', () => {
    const rig = start();
    rig.status(attach(1, 0x10, 1));
    expect(rig.status(map(2, 0n, 0xfffn, 0n))).toBe(S.NOENT);
    expect(rig.status(map(1, 0n, 0xfffn, 0n))).toBe(S.INVAL);
    expect(rig.status(unmap(2, 0n, 0xfffn))).toBe(S.NOENT);
    expect(rig.status(unmap(1, 0n, 0xfffn))).toBe(S.INVAL);
  });

  test('each address is granule-aligned, or RANGE', () => {
    const rig = attached();
    expect(rig.status(map(1, 0x800n, 0x1fffn, 0n))).toBe(S.RANGE);
    expect(rig.status(map(1, 0x1000n, 0x1ffen, 0n))).toBe(S.RANGE);
    expect(rig.status(map(1, 0x1000n, 0x1fffn, 0x10n))).toBe(S.RANGE);
    expect(rig.status(map(1, 0x1000n, 0x1fffn, 0x0n))).toBe(S.OK);
  });

  test('high bits of the mask are hints: any multiple of the granule maps', () => {
    const rig = attached({ pageSizeMask: 0x4020_1000n });
    expect(rig.status(map(1, 0x1000n, 0x3fffn, 0x7000n))).toBe(S.OK);
  });

  test('outside the input range, or end before start: RANGE', () => {
    const rig = attached({ inputRange: { start: 0x10000n, last: 0x1ffffn } });
    expect(rig.status(map(1, 0xf000n, 0x10fffn, 0n))).toBe(S.RANGE);
    expect(rig.status(map(1, 0x1f000n, 0x20fffn, 0n))).toBe(S.RANGE);
    expect(rig.status(map(1, 0x12000n, 0x10fffn, 0n))).toBe(S.RANGE);
    expect(rig.status(map(1, 0x10000n, 0x1ffffn, 0n))).toBe(S.OK);
  });

  test('overlap by one granule is INVAL, on either side and inside', () => {
    const rig = attached();
    rig.status(map(1, 0x4000n, 0x7fffn, 0n));
    const tries = [map(1, 0x3000n, 0x4fffn, 0n), map(1, 0x7000n, 0x8fffn, 0n), map(1, 0x5000n, 0x5fffn, 0n)];
    expect(tries.map((hex) => rig.status(hex))).toEqual([S.INVAL, S.INVAL, S.INVAL]);
    expect(rig.status(map(1, 0x0n, 0xffffn, 0n))).toBe(S.INVAL);
    expect([map(1, 0x3000n, 0x3fffn, 0n), map(1, 0x8000n, 0x8fffn, 0n)].map((h) => rig.status(h))).toEqual([0, 0]);
  });

  test('RESV_MEM of any endpoint of the domain is INVAL', () => {
    expect(attached().status(map(1, 0xfee0_0000n, 0xfee0_0fffn, 0n))).toBe(S.INVAL);
    expect(attached().status(map(1, 0n, 0xffff_ffffn, 0n))).toBe(S.INVAL);
    expect(attached().status(map(1, 0xfef0_0000n, 0xfef0_0fffn, 0n))).toBe(S.OK);
  });

  test('a physical range that wraps or leaves guest-physical space is FAULT', () => {
    const rig = attached({ physicalBits: 40 });
    expect(rig.status(map(1, 0n, 0x1fffn, (1n << 40n) - 0x1000n))).toBe(S.FAULT);
    expect(rig.status(map(1, 0n, 0x1fffn, 0xffff_ffff_ffff_f000n))).toBe(S.FAULT);
    expect(rig.status(map(1, 0n, 0x1fffn, (1n << 40n) - 0x2000n))).toBe(S.OK);
    const wide = attached({ ...BYTE, physicalBits: 64 });
    expect(wide.status(map(1, 0n, 0x1fffn, 0xffff_ffff_ffff_f000n))).toBe(S.FAULT);
    expect(wide.status(map(1, 0n, 0xfffn, 0xffff_ffff_ffff_f000n))).toBe(S.OK);
  });

  test('no room is NOMEM, and what is there stays usable', () => {
    const rig = attached({ maxMappings: 3 });
    const page = (n: bigint) => map(1, n << 12n, (n << 12n) | 0xfffn, n << 12n);
    expect([1n, 2n, 3n, 4n].map((n) => rig.status(page(n)))).toEqual([S.OK, S.OK, S.OK, S.NOMEM]);
    expect(rig.status(unmap(1, 0x2000n, 0x2fffn))).toBe(S.OK);
    expect(rig.status(page(4n))).toBe(S.OK);
    expect(rig.where(0x10, 0x4001n)).toBe(0x4001n);
  });

  test('the top page, the whole space and single bytes are legal', () => {
    const rig = attached({ ...BYTE, physicalBits: 64 });
    expect(rig.status(map(1, 0xffff_ffff_ffff_f000n, 0xffff_ffff_ffff_ffffn, 0n))).toBe(S.OK);
    expect(rig.where(0x10, 0xffff_ffff_ffff_ffffn)).toBe(0xfffn);
    expect(rig.status(map(1, 5n, 5n, 0x77n))).toBe(S.OK);
    expect([rig.where(0x10, 4n), rig.where(0x10, 5n), rig.where(0x10, 6n)]).toEqual(['fault 2', 0x77n, 'fault 2']);
    expect(rig.ask(0x10, 5n).pageSizeLg2).toBe(0);
    expect(rig.status(unmap(1, 0n, 0xffff_ffff_ffff_ffffn))).toBe(S.OK);
    expect(rig.status(map(1, 0n, 0xffff_ffff_ffff_ffffn, 0n))).toBe(S.OK);
    expect(rig.where(0x10, 0x8000_0000_0000_0001n)).toBe(0x8000_0000_0000_0001n);
    expect(rig.ask(0x10, 5n).pageSizeLg2).toBe(64);
  });

  test('flags 0 occupies the range and allows nothing; WRITE alone refuses reads', () => {
    const rig = attached();
    rig.status(map(1, 0n, 0xfffn, 0n, 0));
    expect(rig.status(map(1, 0n, 0xfffn, 0n))).toBe(S.INVAL);
    expect([rig.where(0x10, 0n), rig.where(0x10, 0n, ACCESS.WRITE)]).toEqual(['fault 2', 'fault 2']);
    rig.status(map(1, 0x1000n, 0x1fffn, 0x9000n, 2));
    expect([rig.where(0x10, 0x1000n), rig.where(0x10, 0x1000n, ACCESS.WRITE)]).toEqual(['fault 2', 0x9000n]);
    rig.status(map(1, 0x2000n, 0x2fffn, 0x9000n, 1));
    expect([rig.where(0x10, 0x2000n, ACCESS.EXECUTE), rig.where(0x10, 0x2000n, 1)]).toEqual([0x9000n, 'fault 2']);
  });
});

describe('UNMAP (§5.13.6.6)', () => {
  /** The manual's seven sequences, byte-granular as printed; from an empty domain each. */
  const sequences: [string, [bigint, bigint][], [bigint, bigint], number, bigint[]][] = [
    ['nothing there', [], [0n, 4n], S.OK, []],
    ['the whole mapping', [[0n, 9n]], [0n, 9n], S.OK, []],
    [
      'two mappings at once',
      [
        [0n, 4n],
        [5n, 9n],
      ],
      [0n, 9n],
      S.OK,
      [],
    ],
    ['half of a mapping', [[0n, 9n]], [0n, 4n], S.RANGE, [0n, 9n]],
    [
      'the first of two',
      [
        [0n, 4n],
        [5n, 9n],
      ],
      [0n, 4n],
      S.OK,
      [5n, 9n],
    ],
    ['more than there is', [[0n, 4n]], [0n, 9n], S.OK, []],
    [
      'over a hole',
      [
        [0n, 4n],
        [10n, 14n],
      ],
      [0n, 14n],
      S.OK,
      [],
    ],
  ];

  test.each(sequences)('%s', (_title, maps, [from, to], status, left) => {
    const rig = attached(BYTE);
    for (const [a, b] of maps) expect(rig.status(map(1, a, b, a))).toBe(S.OK);
    expect(rig.status(unmap(1, from, to))).toBe(status);
    for (let at = 0n; at < 16n; at++) {
      const mapped = left.length > 0 && at >= left[0]! && at <= left[1]!;
      expect(rig.where(0x10, at)).toBe(mapped ? at : 'fault 2');
    }
  });

  test('one mapping cut at either end: nothing at all is removed', () => {
    const rig = attached();
    for (const n of [1n, 2n, 3n]) rig.status(map(1, n << 16n, (n << 16n) + 0xffffn, n << 16n));
    expect(rig.status(unmap(1, 0x1_0000n, 0x3_0fffn))).toBe(S.RANGE);
    expect(rig.status(unmap(1, 0x1_1000n, 0x3_ffffn))).toBe(S.RANGE);
    expect([1n, 2n, 3n].map((n) => rig.where(0x10, n << 16n))).toEqual([0x1_0000n, 0x2_0000n, 0x3_0000n]);
  });

  test('no alignment is asked for; a reserved word is INVAL; end before start is RANGE', () => {
    const rig = attached();
    rig.status(map(1, 0x1000n, 0x1fffn, 0n));
    expect(rig.status(unmap(1, 0x1000n, 0x1fffn, 1))).toBe(S.INVAL);
    expect(rig.status(unmap(1, 0x2000n, 0x1fffn))).toBe(S.RANGE);
    expect(rig.where(0x10, 0x1000n)).toBe(0n);
    expect(rig.status(unmap(1, 0xfffn, 0x2345n))).toBe(S.OK);
    expect(rig.where(0x10, 0x1000n)).toBe('fault 2');
  });

  test('takes effect at completion, also for addresses that were just translated', () => {
    const rig = attached();
    rig.status(map(1, 0x1000n, 0x1fffn, 0x9000n));
    for (let i = 0; i < 3; i++) expect(rig.where(0x10, 0x1000n)).toBe(0x9000n);
    rig.status(unmap(1, 0x1000n, 0x1fffn));
    expect(rig.where(0x10, 0x1000n)).toBe('fault 2');
    rig.status(map(1, 0x1000n, 0x1fffn, 0xa000n));
    expect(rig.where(0x10, 0x1000n)).toBe(0xa000n);
  });
});

describe('PROBE (§5.13.6.7)', () => {
  const MSI = '0100140001000000' + '0000e0fe00000000' + 'ffffeffe00000000';

  test('properties, zeros up to probe_size, tail there and not at the end of a larger buffer', () => {
    const { used, answer } = start({ probeSize: 64 }).send(probe(0x10, 'ff'.repeat(64)), 80);
    expect(used).toBe(68);
    expect(bytesToHex(answer)).toBe(`${MSI}${'00'.repeat(40)}00000000${'ee'.repeat(12)}`);
  });

  test('unknown endpoint: NOENT behind zeroed properties', () => {
    const { used, answer } = start({ probeSize: 24, endpoints: [] }).send(probe(0x10), 28);
    expect([used, bytesToHex(answer)]).toEqual([28, `${'00'.repeat(24)}06000000`]);
  });

  test('too little room: no property, INVAL in the last four bytes', () => {
    const { used, answer } = start().send(probe(0x10), 100);
    expect([used, bytesToHex(answer)]).toEqual([100, `${'00'.repeat(96)}04000000`]);
  });

  test('too short a body is INVAL at the usual place', () => {
    const { used, answer } = start({ probeSize: 24 }).send(probe(0x10).slice(0, 80), 28);
    expect([used, answer[24]]).toEqual([28, S.INVAL]);
  });

  test('not offered: unwritten', () => {
    const { used, answer } = start({ features: ['MAP_UNMAP'] }).send(probe(0x10), 516);
    expect([used, answer.every((byte) => byte === 0xee)]).toEqual([0, true]);
  });

  test('a probe_size that is no multiple of four still has its tail right behind', () => {
    const { used, answer } = start({ probeSize: 27, endpoints: [] }).send(probe(0x10), 31);
    expect([used, bytesToHex(answer.subarray(27))]).toEqual([31, '06000000']);
  });

  test('regions are told per endpoint', () => {
    const reserved = [
      { subtype: 'MSI', start: 0xfee0_0000n, end: 0xfeef_ffffn } as const,
      { endpoint: 0x11, subtype: 'RESERVED', start: 1n << 39n, end: (1n << 64n) - 1n } as const,
    ];
    const rig = start({ probeSize: 48, reserved });
    const second = '0100140000000000' + '0000000080000000' + 'ffffffffffffffff';
    expect(bytesToHex(rig.send(probe(0x10), 52).answer)).toBe(`${MSI}${'00'.repeat(24)}00000000`);
    expect(bytesToHex(rig.send(probe(0x11), 52).answer)).toBe(`${MSI}${second}00000000`);
  });
});
