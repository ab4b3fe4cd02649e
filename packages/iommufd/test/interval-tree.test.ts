import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalTree } from '../src/iova/interval-tree.ts';

type Step = { add: boolean; start: number; length: number };
const step = fc.record({ add: fc.boolean(), start: fc.nat(200), length: fc.integer({ min: 1, max: 12 }) });

const SPACE = 220;

/** The same set as a plain array of occupied cells. */
function play(steps: readonly Step[]) {
  const tree = new IntervalTree<{ start: bigint; last: bigint }>();
  const owner = new Array<{ start: bigint; last: bigint } | null>(SPACE).fill(null);
  for (const { add, start, length } of steps) {
    const cells = owner.slice(start, start + length);
    if (add && cells.every((c) => c === null)) {
      const item = { start: BigInt(start), last: BigInt(start + length - 1) };
      tree.insert(item);
      owner.fill(item, start, start + length);
    } else if (!add && owner[start]) {
      const item = owner[start];
      tree.delete(item);
      owner.fill(null, Number(item.start), Number(item.last) + 1);
    }
  }
  return { tree, owner };
}

test('agrees with an array of cells', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 80 }),
      fc.nat(SPACE - 1),
      fc.integer({ min: 1, max: 20 }),
      (steps, at, size) => {
        const { tree, owner } = play(steps);
        const items = [...new Set(owner.filter((c) => c !== null))];
        expect([...tree]).toEqual(items);
        expect(tree.size).toBe(items.length);
        expect(tree.at(BigInt(at))).toBe(owner[at] ?? null);
        expect(tree.atOrAfter(BigInt(at))).toBe(owner.slice(at).find((c) => c !== null) ?? null);
        const holes: [number, number][] = [];
        for (let i = at; i < SPACE; i++) {
          if (owner[i]) continue;
          let end = i;
          while (end + 1 < SPACE && !owner[end + 1]) end++;
          if (end - i + 1 >= size) holes.push([i, end]);
          i = end;
        }
        const found = [...tree.holes(BigInt(at), BigInt(SPACE - 1), BigInt(size))];
        expect(found.map((h) => [Number(h.start), Number(h.last)])).toEqual(holes);
      },
    ),
    { numRuns: 3000 },
  );
});

test('a range that ends at the top of the space', () => {
  const TOP = (1n << 64n) - 1n;
  const tree = new IntervalTree<{ start: bigint; last: bigint }>();
  tree.insert({ start: TOP, last: TOP });
  expect([...tree.within(0n, TOP)]).toHaveLength(1);
  expect([...tree.holes(0n, TOP, 1n)]).toEqual([{ start: 0n, last: TOP - 1n }]);
  tree.insert({ start: 0n, last: TOP - 1n });
  expect([...tree.holes(0n, TOP, 1n)]).toEqual([]);
});
