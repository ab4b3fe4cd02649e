import { newGather } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MockTable, PinCounts } from '../src/index.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const MIB = 1n << 20n;

describe.each([2048n, 4096n])('granule %d', (granule) => {
  test('a large leaf is not cut, a hole stops', () => {
    const table = new MockTable(granule);
    expect(table.map(16n * MIB, 32n * MIB, MIB, 2)).toEqual({ mapped: 2, error: null });
    expect(table.map(16n * MIB, 0n, granule, 1)).toMatchObject({ mapped: 0, error: { errno: 'EEXIST' } });
    expect(table.map(18n * MIB, 7n * granule, granule, 3)).toEqual({ mapped: 3, error: null });
    expect(table.map(15n * MIB, 0n, MIB, 2)).toMatchObject({ mapped: 1, error: { errno: 'EEXIST' } });
    expect(table.map(0n, (1n << 52n) - granule, granule, 2)).toMatchObject({ mapped: 0, error: { errno: 'ERANGE' } });
    expect(table.lookup(17n * MIB + 5n)).toBe(33n * MIB + 5n);
    expect(table.lookup(18n * MIB + granule + 5n)).toBe(8n * granule + 5n);
    expect(table.lookup(18n * MIB + 3n * granule)).toBe(null);
    expect(table.unmap(16n * MIB + granule, MIB, newGather())).toBe(0n);
    const gather = newGather();
    expect(table.unmap(15n * MIB, 10n * MIB, gather)).toBe(3n * MIB + 3n * granule);
    expect(gather).toMatchObject({ start: 15n * MIB, pageSize: granule });
    expect(table.unmap(15n * MIB, 10n * MIB, newGather())).toBe(0n);
    expect(table.blocks).toBe(0);
  });

  /** Small pages 0 … 2047 of a few blocks against a plain map. */
  test('agrees with a plain map of pages', () => {
    const page = fc.nat({ max: 1200 });
    const step = fc.oneof(
      fc.record({ op: fc.constant('map' as const), page, count: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ op: fc.constant('unmap' as const), page, count: fc.integer({ min: 1, max: 90 }) }),
      fc.record({ op: fc.constant('dirty' as const), page, count: fc.constant(1) }),
      fc.record({ op: fc.constant('read' as const), page, count: fc.integer({ min: 1, max: 900 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const table = new MockTable(granule);
        const model = new Map<number, { pa: bigint; dirty: boolean }>();
        for (const { op, page: first, count } of steps) runStep(table, model, granule, op, first, count);
        for (const [at, { pa }] of model) expect(table.lookup(BigInt(at) * granule)).toBe(pa);
      }),
      { numRuns: RUNS },
    );
  });
});

type Model = Map<number, { pa: bigint; dirty: boolean }>;

function runStep(table: MockTable, model: Model, granule: bigint, op: string, first: number, count: number): void {
  const iova = BigInt(first) * granule;
  if (op === 'map') {
    let free = 0;
    while (free < count && !model.has(first + free)) free++;
    const pa = (BigInt(first) + 7n) * granule;
    expect(table.map(iova, pa, granule, count).mapped).toBe(free);
    for (let i = 0; i < free; i++) model.set(first + i, { pa: pa + BigInt(i) * granule, dirty: false });
  } else if (op === 'unmap') {
    let mapped = 0;
    while (mapped < count && model.delete(first + mapped)) mapped++;
    expect(table.unmap(iova, BigInt(count) * granule, newGather())).toBe(BigInt(mapped) * granule);
  } else if (op === 'dirty') {
    const entry = model.get(first);
    if (entry) entry.dirty = true;
    expect(table.setDirty(iova)).toBe(entry !== undefined);
  } else {
    const expected: bigint[] = [];
    for (let i = first; i < first + count; i++) {
      const entry = model.get(i);
      if (entry?.dirty) expected.push(BigInt(i) * granule);
      if (entry && count % 2 === 0) entry.dirty = false;
    }
    const seen: bigint[] = [];
    table.eachDirty(iova, BigInt(count) * granule, count % 2 === 1, (at) => seen.push(at));
    expect(seen).toEqual(expected);
  }
}

test('pins are counted by page, also where extents begin inside one', () => {
  const pins = new PinCounts();
  pins.add([{ pa: 0x1800n, length: 0x1000n }]);
  pins.add([{ pa: 0x2000n, length: 0x1000n }]);
  expect([0x0n, 0x1000n, 0x2fffn, 0x3000n].map((pa) => pins.at(pa))).toEqual([0, 1, 2, 0]);
  pins.remove([{ pa: 0x1800n, length: 0x1000n }]);
  expect([pins.at(0x1000n), pins.at(0x2000n), pins.pages]).toEqual([0, 1, 1]);
});
