import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalTree } from '../src/iova/interval-tree.ts';

interface Range {
  readonly start: bigint;
  readonly last: bigint;
}

/** Lies where doubles cannot tell neighbours apart, too. */
const bases = [0n, 1n << 40n, (1n << 64n) - (1n << 20n)];

function check(tree: IntervalTree<Range>, model: Map<bigint, Range>, base: bigint, size: bigint, at: bigint): void {
  const items = [...model.values()].sort((a, b) => (a.start < b.start ? -1 : 1));
  expect([...tree]).toEqual(items);
  expect(tree.atOrAfter(at)).toBe(items.find(({ last }) => last >= at) ?? null);
  const last = base + 0xf_ffffn;
  const holes: Range[] = [];
  let from = base;
  for (const item of [...items, { start: last + 1n, last }]) {
    if (item.start - from >= size) holes.push({ start: from, last: item.start - 1n });
    from = item.last + 1n;
  }
  expect([...tree.holes(base, last, size)]).toEqual(holes);
}

test('many levels: random inserts and deletes agree with a sorted list', () => {
  const seed = fc.record({
    base: fc.constantFrom(...bases),
    slots: fc.array(fc.nat(8191), { minLength: 2000, maxLength: 9000, size: 'max' }),
    lengths: fc.integer({ min: 1, max: 128 }),
    keep: fc.integer({ min: 0, max: 4 }),
    size: fc.integer({ min: 1, max: 4096 }),
  });
  fc.assert(
    fc.property(seed, ({ base, slots, lengths, keep, size }) => {
      const tree = new IntervalTree<Range>();
      const model = new Map<bigint, Range>();
      for (const [i, slot] of slots.entries()) {
        const start = base + BigInt(slot) * 128n;
        const there = model.get(start);
        if (there && i % 5 >= keep) {
          tree.delete(there);
          model.delete(start);
        } else if (!there) {
          const item = { start, last: start + BigInt(1 + ((slot * 31) % lengths)) - 1n };
          tree.insert(item);
          model.set(start, item);
        }
        if (i % 1500 === 0) check(tree, model, base, BigInt(size), start - (start > 64n ? 64n : 0n));
      }
      check(tree, model, base, BigInt(size), base + 0x8_0000n);
      for (const item of [...model.values()].reverse()) {
        tree.delete(item);
        model.delete(item.start);
        if (model.size % 500 === 0) check(tree, model, base, BigInt(size), base);
      }
      expect(tree.size).toBe(0);
      expect(tree.atOrAfter(0n)).toBeNull();
    }),
    { numRuns: 40 },
  );
});

test('ranges added in order are found in order, and a hole below is found first', () => {
  const tree = new IntervalTree<Range>();
  const items = Array.from({ length: 20_000 }, (_, i) => ({
    start: BigInt(i) * 8192n,
    last: BigInt(i) * 8192n + 8191n,
  }));
  for (const item of items) tree.insert(item);
  expect([...tree.holes(0n, 20_000n * 8192n - 1n, 1n)]).toEqual([]);
  tree.delete(items[777]!);
  tree.delete(items[12_345]!);
  tree.delete(items[12_346]!);
  expect([...tree.holes(0n, 20_000n * 8192n - 1n, 16_384n)]).toEqual([
    { start: items[12_345]!.start, last: items[12_346]!.last },
  ]);
  expect([...tree.holes(0n, 20_000n * 8192n - 1n, 1n)]).toHaveLength(2);
});

test('what is removed from below makes room for what comes below', () => {
  const tree = new IntervalTree<Range>();
  const at = (i: number): Range => ({ start: BigInt(i) * 16n, last: BigInt(i) * 16n + 7n });
  const high = Array.from({ length: 9000 }, (_, i) => at(20_000 + i));
  for (const item of high) tree.insert(item);
  for (const item of high.slice(0, 5000)) tree.delete(item);
  const low = Array.from({ length: 9000 }, (_, i) => at((i * 7919) % 9000));
  for (const item of low) tree.insert(item);
  const all = [...low.sort((a, b) => Number(a.start - b.start)), ...high.slice(5000)];
  expect([...tree]).toEqual(all);
  for (const item of all) expect(tree.at(item.start + 3n)).toBe(item);
});
