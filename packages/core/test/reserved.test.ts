import { describe, expect, test } from 'vitest';
import {
  busReservations,
  complementOf,
  formatReservedRegions,
  intersectRanges,
  mergeReservedRegions,
  type ReservedRegion,
  type ReservedRegionType,
  TOP_ADDRESS,
} from '../src/index.ts';

const TYPES: Record<string, ReservedRegionType> = {
  DIR: 'direct',
  RELAX: 'direct-relaxable',
  RES: 'reserved',
  MSI: 'msi',
  SW: 'sw-msi',
};
const parse = (text: string): ReservedRegion[] =>
  text.split(', ').map((item) => {
    const [type, start, last] = item.split(/[ -]/) as [string, string, string];
    return { type: TYPES[type]!, start: BigInt(`0x${start}`), last: BigInt(`0x${last}`), prot: 3 };
  });
const show = (regions: readonly ReservedRegion[]) =>
  regions.map(
    (r) => `${Object.keys(TYPES).find((k) => TYPES[k] === r.type)} ${r.start.toString(16)}-${r.last.toString(16)}`,
  );

// What Linux 7.2 does with each list, except for the last four: ranges that end at 2^64-1 join here like any other.
const TOP = 'ffffffffffffffff';
const CASES: readonly [string, string][] = [
  ['DIR 1000-1fff, DIR 2000-2fff', 'DIR 1000-2fff'],
  ['DIR 1000-1ffe, DIR 2000-2fff', 'DIR 1000-1ffe, DIR 2000-2fff'],
  ['DIR 1000-1fff, RES 2000-2fff', 'DIR 1000-1fff, RES 2000-2fff'],
  ['DIR 1000-3fff, MSI 2000-2fff', 'DIR 1000-3fff, MSI 2000-2fff'],
  ['RES 1000-1fff, RES 3000-3fff, RES 5000-5fff, RES 1800-57ff', 'RES 1000-5fff'],
  ['DIR 1000-2fff, MSI 2000-3fff, DIR 3000-4fff', 'DIR 1000-4fff, MSI 2000-3fff'],
  ['MSI 1000-1fff, DIR 1000-2fff', 'DIR 1000-2fff, MSI 1000-1fff'],
  ['DIR 1000-2fff, MSI 1000-1fff', 'DIR 1000-2fff, MSI 1000-1fff'],
  ['DIR 1000-2fff, DIR 1000-1fff', 'DIR 1000-2fff'],
  ['SW 8000000-80fffff, MSI 8100000-81fffff', 'SW 8000000-80fffff, MSI 8100000-81fffff'],
  ['DIR a0000-bffff, RELAX a0000-bffff', 'DIR a0000-bffff, RELAX a0000-bffff'],
  ['RELAX 0-ffffff, DIR ee000-effff, MSI fee00000-feefffff', 'RELAX 0-ffffff, DIR ee000-effff, MSI fee00000-feefffff'],
  [
    'DIR ad000-adfff, MSI fee00000-feefffff, DIR ae000-aefff, MSI fee00000-feefffff',
    'DIR ad000-aefff, MSI fee00000-feefffff',
  ],
  [`RES 40000000000-${TOP}, RES 1000000000000-${TOP}`, `RES 40000000000-${TOP}`],
  [`RES 1000000000000-${TOP}, RES 40000000000-${TOP}`, `RES 40000000000-${TOP}`],
  [`RES 1000000000000-${TOP}, RES 2000000000000-3ffffffffffff`, `RES 1000000000000-${TOP}`],
];

describe('group reserved regions', () => {
  test.each(CASES)('%s', (input, expected) => {
    expect(show(mergeReservedRegions(parse(input)))).toEqual(expected.split(', '));
  });

  test('a joined region keeps the protection of the lower one', () => {
    const [a, b] = parse('DIR 1000-1fff, DIR 1800-27ff') as [ReservedRegion, ReservedRegion];
    expect(mergeReservedRegions([a, { ...b, prot: 1 }])).toEqual([{ ...a, last: 0x27ffn }]);
  });

  test('prints as sysfs does', () => {
    expect(formatReservedRegions(parse('RELAX 7c000000-7fffffff, MSI fee00000-feefffff'))).toBe(
      '0x000000007c000000 0x000000007fffffff direct-relaxable\n0x00000000fee00000 0x00000000feefffff msi\n',
    );
    expect(formatReservedRegions(parse('SW 8000000-80fffff'))).toMatch(/ msi\n$/);
  });
});

describe('bus windows', () => {
  test('no description is no limit', () => {
    expect(busReservations({ busLimits: [] })).toEqual([]);
    expect(busReservations({ busLimits: [{ start: 0n, last: TOP_ADDRESS }] })).toEqual([]);
  });

  test('a base, a top and a hole are each reserved', () => {
    const windows = [
      { start: 0x1000n, last: 0x7fff_ffffn },
      { start: 1n << 32n, last: (1n << 42n) - 1n },
    ];
    expect(show(busReservations({ busLimits: windows }))).toEqual([
      'RES 0-fff',
      'RES 80000000-ffffffff',
      `RES 40000000000-${TOP}`,
    ]);
  });
});

test('ranges at the top of the space do not wrap', () => {
  expect(complementOf([{ start: 1n << 48n, last: TOP_ADDRESS }])).toEqual([{ start: 0n, last: (1n << 48n) - 1n }]);
  expect(complementOf([{ start: 0n, last: TOP_ADDRESS }])).toEqual([]);
  expect(intersectRanges([[{ start: 0n, last: 99n }], [{ start: 50n, last: TOP_ADDRESS }]])).toEqual([
    { start: 50n, last: 99n },
  ]);
  expect(intersectRanges([])).toEqual([{ start: 0n, last: TOP_ADDRESS }]);
});
