import { hexToBytes } from '@iommukit/bits';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Mirror } from '../../src/driver/mirror.ts';
import { parseProperties } from '../../src/driver/properties.ts';
import { FUZZ_TIMEOUT, RUNS } from '../fuzz.ts';

const parse = (hex: string) => parseProperties(hexToBytes(hex)).map(({ start, last, type }) => [start, last, type]);
const MSI = '0100140001000000' + '0000e0fe00000000' + 'ffffeffe00000000';
const TOP = (1n << 64n) - 1n;

describe('PROBE properties, driver side (virtio 1.3 §5.13.6.8)', () => {
  test.each<[string, string, unknown[]]>([
    ['an MSI region', `${MSI}00000000`, [[0xfee00000n, 0xfeefffffn, 'msi']]],
    ['a region that ends the area', MSI, [[0xfee00000n, 0xfeefffffn, 'msi']]],
    ['an unknown type, skipped by its length', `0200040099999999${MSI}`, [[0xfee00000n, 0xfeefffffn, 'msi']]],
    ['nothing behind the end of the list', `00000000${MSI}`, []],
    ['reserved type bits', `0110140001000000${'00'.repeat(16)}${MSI}`, [[0xfee00000n, 0xfeefffffn, 'msi']]],
    ['an unknown subtype', `0100140007000000${'00'.repeat(8)}ff0f000000000000`, [[0n, 0xfffn, 'reserved']]],
    ['the whole space', `0100140000000000${'00'.repeat(8)}${'ff'.repeat(8)}`, [[0n, TOP, 'reserved']]],
    ['a longer value than today’s', `01001800${MSI.slice(8)}ffffffff`, [[0xfee00000n, 0xfeefffffn, 'msi']]],
    ['a value too short', `0100100001000000${'00'.repeat(12)}`, []],
    ['a value cut off by the area', `01001400${MSI.slice(8, 40)}`, []],
    ['an end before its start', `0100140000000000${'ff'.repeat(8)}${'00'.repeat(8)}`, []],
  ])('%s', (_title, hex, regions) => expect(parse(hex)).toEqual(regions));

  test(
    'any bytes parse, and give regions that are none upside down',
    () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(3), (area, type) => {
          if (area.length > 1) area.set([type, 0]);
          for (const { start, last } of parseProperties(area)) expect(start <= last && last <= TOP).toBe(true);
        }),
        { numRuns: RUNS },
      );
    },
    FUZZ_TIMEOUT,
  );
});

describe('the mirror agrees with a plain list', () => {
  const step = fc.record({
    kind: fc.constantFrom('insert', 'insert', 'take', 'at'),
    start: fc.bigInt(0n, 60n),
    length: fc.bigInt(1n, 6n),
  });

  test(
    'for any sequence',
    () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
          const mirror = new Mirror();
          let list: { start: bigint; last: bigint; pa: bigint; flags: number }[] = [];
          for (const { kind, start, length } of steps) {
            const mapping = { start, last: start + length - 1n, pa: start << 12n, flags: 3 };
            const overlap = list.some((m) => m.start <= mapping.last && mapping.start <= m.last);
            expect(mirror.overlaps(mapping.start, mapping.last)).toBe(overlap);
            if (kind === 'insert' && !overlap) {
              mirror.insert(mapping);
              list.push(mapping);
            } else if (kind === 'take') {
              const found = list.find((m) => m.start === start && m.last <= mapping.last) ?? null;
              expect(mirror.take(start, mapping.last)).toBe(found);
              list = list.filter((m) => m !== found);
            } else expect(mirror.at(start)).toBe(list.find((m) => m.start <= start && start <= m.last) ?? null);
          }
          expect([...mirror]).toEqual(list.sort((a, b) => Number(a.start - b.start)));
        }),
        { numRuns: RUNS },
      );
    },
    FUZZ_TIMEOUT,
  );

  test('and stays sorted over many chunks', () => {
    const mirror = new Mirror();
    const order = Array.from({ length: 5000 }, (_, i) => (i * 2_654_435_761) % 5003);
    for (const n of order) mirror.insert({ start: BigInt(n) * 8n, last: BigInt(n) * 8n + 3n, pa: 0n, flags: 1 });
    const starts = [...mirror].map(({ start }) => start);
    expect(starts).toEqual([...starts].sort((a, b) => Number(a - b)));
    expect(mirror.at(8n * BigInt(order[77]!) + 3n)?.start).toBe(8n * BigInt(order[77]!));
    expect(mirror.at(8n * BigInt(order[77]!) + 4n)).toBe(null);
    for (const n of order) expect(mirror.take(BigInt(n) * 8n, TOP)).not.toBe(null);
    expect([mirror.size, [...mirror]]).toEqual([0, []]);
  });
});
