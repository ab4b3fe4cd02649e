import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FLIP } from '../../src/hardware/address.ts';
import { MAPPING, MappingStore, MappingTree } from '../../src/hardware/mapping-tree.ts';
import { FUZZ_TIMEOUT, RUNS } from '../fuzz.ts';
import { attach, DeviceRig, map, S, unmap } from './rig.ts';

/** The rules of MAP and UNMAP by plain search through a list: slow, short, and about nothing else. */
class PlainDomain {
  mappings: { start: bigint; end: bigint; phys: bigint; flags: number }[] = [];

  map(start: bigint, end: bigint, phys: bigint, flags: number): number {
    if (end < start) return S.RANGE;
    if (this.mappings.some((m) => m.start <= end && start <= m.end)) return S.INVAL;
    this.mappings.push({ start, end, phys, flags });
    return S.OK;
  }

  unmap(start: bigint, end: bigint): number {
    if (end < start) return S.RANGE;
    const touched = this.mappings.filter((m) => m.start <= end && start <= m.end);
    if (touched.some((m) => m.start < start || m.end > end)) return S.RANGE;
    this.mappings = this.mappings.filter((m) => !touched.includes(m));
    return S.OK;
  }

  read(address: bigint): bigint | string {
    const found = this.mappings.find((m) => m.start <= address && address <= m.end);
    return found && (found.flags & 1) === 1 ? address - found.start + found.phys : 'fault 2';
  }
}

/** Addresses that crowd together around the places where halves carry. */
const address = fc
  .tuple(fc.constantFrom(0n, 0x7fff_fff0n, 0xffff_fff0n, 0x7fff_ffff_ffff_fff0n, (1n << 64n) - 32n), fc.bigInt(0n, 31n))
  .map(([base, offset]) => base + offset);
const step = fc.record({
  kind: fc.constantFrom('map', 'map', 'unmap', 'read'),
  start: address,
  length: fc.bigInt(0n, 12n),
  phys: fc.constantFrom(0n, 0xffff_fff8n, 0x7fff_ffff_fff0n),
  flags: fc.constantFrom(1, 3),
});

describe('MAP, UNMAP and lookup agree with a plain list', () => {
  test(
    'byte-granular, over the whole 64-bit space',
    () => {
      const rig = new DeviceRig({
        pageSizeMask: 1n,
        inputRange: { start: 0n, last: (1n << 64n) - 1n },
        reserved: [],
        physicalBits: 64,
        features: ['MAP_UNMAP'],
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
          rig.start();
          rig.status(attach(1, 0x10));
          const plain = new PlainDomain();
          for (const { kind, start, length, phys, flags } of steps) {
            const end = BigInt.asUintN(64, start + length);
            if (kind === 'map')
              expect(rig.status(map(1, start, end, phys, flags))).toBe(plain.map(start, end, phys, flags));
            else if (kind === 'unmap') expect(rig.status(unmap(1, start, end))).toBe(plain.unmap(start, end));
            else expect(rig.where(0x10, start)).toBe(plain.read(start));
          }
          for (const { start, end } of plain.mappings) {
            expect([rig.where(0x10, start), rig.where(0x10, end)]).toEqual([plain.read(start), plain.read(end)]);
          }
        }),
        { numRuns: RUNS },
      );
    },
    FUZZ_TIMEOUT,
  );
});

describe('the tree', () => {
  const LIMIT = 1 << 16;

  /** Checked against a sorted array, with enough keys for three levels and all kinds of removal. */
  test.each(['ascending', 'descending', 'random'])('%s insertion, then random removal and lookup', (order) => {
    const store = new MappingStore(LIMIT);
    const tree = new MappingTree(store);
    let random = 7;
    const draw = () => (random = (Math.imul(random, 1103515245) + 12345) & 0x7fff_ffff) >>> 8;
    const count = 20_000;
    const keys = Array.from({ length: count }, (_, i) => {
      if (order === 'ascending') return i * 16;
      return order === 'descending' ? (count - i) * 16 : draw() * 16 + (i & 15);
    });
    const present = new Set<number>();
    for (const key of keys) {
      if (present.has(key)) continue;
      const cell = tree.insert(FLIP, key ^ FLIP);
      store.mappings.cells[cell + MAPPING.START_HI] = FLIP;
      store.mappings.cells[cell + MAPPING.START_LO] = key ^ FLIP;
      present.add(key);
    }
    for (let round = 0; present.size > 0; round++) {
      const sorted = [...present].sort((a, b) => a - b);
      const keyOf = (cell: number) =>
        cell === -1 ? -1 : (store.mappings.cells[cell + MAPPING.START_LO]! ^ FLIP) >>> 0;
      for (let i = 0; i < 2000; i++) {
        const probe = draw() * 8;
        const above = sorted.findIndex((key) => key >= probe);
        const floor =
          above !== -1 && sorted[above] === probe ? probe : (sorted.at(above === -1 ? -1 : above - 1) ?? -1);
        expect(keyOf(tree.ceiling(FLIP, probe ^ FLIP))).toBe(above === -1 ? -1 : sorted[above]);
        if (above !== 0 || sorted[0] === probe) expect(keyOf(tree.floor(FLIP, probe ^ FLIP))).toBe(floor);
        else expect(tree.floor(FLIP, probe ^ FLIP)).toBe(-1);
        if (i > 20) break;
      }
      sorted.forEach((key, i) => {
        if (draw() % 3 === 0 && round < 12 && i % 7 !== round % 7) return;
        tree.remove(FLIP, key ^ FLIP);
        present.delete(key);
      });
    }
    expect([store.mappings.live, store.nodes.live]).toEqual([0, 0]);
  });

  test('sparse leaves cannot make it grow without end', () => {
    const store = new MappingStore(1 << 12);
    const tree = new MappingTree(store);
    let refused = 0;
    for (let i = 0; i < 200_000; i++) {
      const key = (Math.imul(i, 0x9e3779b1) & 0xffff) * 4 + (i >>> 16);
      if (!tree.hasRoom()) {
        refused++;
        const first = tree.ceiling(FLIP, FLIP);
        tree.remove(store.mappings.cells[first]!, store.mappings.cells[first + 1]!);
        continue;
      }
      const found = tree.floor(FLIP, key ^ FLIP);
      if (found !== -1 && store.mappings.cells[found + 1] === (key ^ FLIP)) continue;
      const cell = tree.insert(FLIP, key ^ FLIP);
      store.mappings.cells[cell] = FLIP;
      store.mappings.cells[cell + 1] = key ^ FLIP;
    }
    expect(refused).toBeGreaterThan(0);
    expect(store.mappings.live).toBeLessThanOrEqual(1 << 12);
    tree.clear();
    expect([store.mappings.live, store.nodes.live]).toEqual([0, 0]);
  });
});
