import { hiOf, loOf } from '@iommukit/bits';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SetTable } from '../../src/hardware/caches/set-table.ts';
import { maskHi, maskLo } from '../../src/hardware/caches/span.ts';
import { Features } from '../../src/hardware/features.ts';
import { entryOffset, inInterruptWindow, isCanonical } from '../../src/hardware/table-index.ts';

const numRuns = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const word64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

describe('arithmetic on halves agrees with bigints', () => {
  test('table index, canonical form, interrupt range', () => {
    fc.assert(
      fc.property(word64, fc.integer({ min: 1, max: 5 }), (address, level) => {
        const [hi, lo] = [hiOf(address), loOf(address)];
        expect(entryOffset(level, hi, lo)).toBe(Number((address >> BigInt(3 + 9 * level)) & 511n) * 8);
        for (const bits of [48, 57])
          expect(isCanonical(bits === 57, hi)).toBe(BigInt.asUintN(64, BigInt.asIntN(bits, address)) === address);
        expect(inInterruptWindow(hi, lo)).toBe(address >> 20n === 0xfeen);
      }),
      { numRuns },
    );
  });

  test('masks', () => {
    for (let lg2 = 0; lg2 <= 64; lg2++) {
      const mask = BigInt.asUintN(64, -1n << BigInt(lg2));
      expect([maskHi(lg2), maskLo(lg2)], `${lg2}`).toEqual([hiOf(mask), loOf(mask)]);
    }
  });

  test('aperture and host width, any capability', () => {
    const features = fc.record({ mgaw: fc.integer({ min: 0, max: 63 }), haw: fc.integer({ min: 12, max: 52 }) });
    fc.assert(
      fc.property(
        features,
        fc.integer({ min: 3, max: 5 }),
        fc.nat(64),
        word64,
        ({ mgaw, haw }, levels, shift, word) => {
          const unit = new Features(0x10, BigInt(mgaw) << 16n, 0n, haw);
          const address = word >> BigInt(shift);
          const [hi, lo] = [hiOf(address), loOf(address)];
          const width = Math.min(mgaw + 1, 12 + 9 * levels);
          expect(unit.beyondAperture(levels, hi, lo)).toBe(address >= 1n << BigInt(width));
          expect(unit.beyondHost(hi, lo)).toBe(address >= 1n << BigInt(haw));
        },
      ),
      { numRuns: Math.min(numRuns, 5000) },
    );
  });
});

describe('the caches’ table against a Map', () => {
  const key = fc.tuple(fc.nat(7), fc.constantFrom(-1, 0, 5), fc.nat(1), fc.nat(7));
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constant('add' as const), key }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('remove' as const), key }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('clear' as const), key }) },
  );

  test('finds what was put in and nothing else, through growth and clearing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new SetTable(3, 10);
        const model = new Map<string, number>();
        steps.forEach(({ op, key: [k0, k1, k2, page] }, i) => {
          const k3 = page << 12;
          const name = `${k0} ${k1} ${k2} ${k3}`;
          const found = table.find(k0, k1, k2, k3);
          expect(found >= 0 ? table.data[found] : undefined).toBe(model.get(name));
          if (op === 'clear') {
            table.clear();
            model.clear();
          } else if (op === 'remove') {
            if (found >= 0) table.remove(found);
            model.delete(name);
          } else if (found < 0) {
            table.data[table.insert(k0, k1, k2, k3)] = i;
            model.set(name, i);
          }
          expect(table.live).toBe(model.size);
        });
      }),
      { numRuns: Math.min(numRuns, 3000) },
    );
  });

  test('is bounded, and full of the newest when it is', () => {
    const table = new SetTable(1, 4);
    let last = -1;
    for (let i = 0; i < 10_000; i++) {
      let at = table.insert(1, -1, i, i << 12);
      if (at < 0) {
        table.remove(table.victim(1, -1, i, i << 12));
        at = table.insert(1, -1, i, i << 12);
      }
      last = at;
    }
    expect(table.live).toBeLessThanOrEqual(64);
    expect(table.data.length).toBe(128);
    expect(table.find(1, -1, 9_999, 9_999 << 12)).toBe(last);
  });

  test('generations wrap without waking the dead', () => {
    const table = new SetTable(1, 4);
    table.insert(3, 4, 5, 0x6000);
    for (let i = 0; i < 20_000; i++) {
      table.clear();
      expect(table.find(3, 4, 5, 0x6000)).toBe(-1);
    }
  });
});
