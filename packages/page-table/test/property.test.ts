import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pageSizesOf, RadixTable } from '../src/index.ts';
import { emptyGather, TestMemory } from '../src/testing/index.ts';
import { toyConfigs } from './formats.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);

interface Op {
  readonly kind: 'map' | 'unmap' | 'oom';
  readonly page: number;
  readonly size: number;
  readonly count: number;
}

const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom('map' as const, 'map' as const, 'unmap' as const, 'oom' as const),
  /** Page numbers around the seams of tables and blocks. */
  page: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 508, max: 516 }), fc.constant(262_143)),
  size: fc.integer({ min: 0, max: 1 }),
  count: fc.integer({ min: 1, max: 6 }),
});

/** The same table as a plain map from the first page number of a leaf to what it holds. */
class Model {
  readonly leaves = new Map<number, { readonly pages: number; readonly pa: bigint }>();
  private readonly span: number;

  constructor(span: number) {
    this.span = span;
  }

  at(page: number): { start: number; pages: number; pa: bigint } | null {
    const block = page - (page % this.span);
    for (const start of [page, block]) {
      const leaf = this.leaves.get(start);
      if (leaf !== undefined && page < start + leaf.pages) return { start, ...leaf };
    }
    return null;
  }

  map(page: number, pages: number, count: number, pa: (i: number) => bigint): number {
    for (let i = 0; i < count; i++) {
      const start = page + i * pages;
      for (let p = start; p < start + pages; p++) if (this.at(p) !== null) return i;
      this.leaves.set(start, { pages, pa: pa(i) });
    }
    return count;
  }

  unmap(page: number, pages: number): number {
    let at = page;
    while (at < page + pages) {
      const leaf = this.leaves.get(at);
      if (leaf === undefined || at + leaf.pages > page + pages) break;
      this.leaves.delete(at);
      at += leaf.pages;
    }
    return at - page;
  }
}

test.each(toyConfigs)(
  '$name: any sequence does what a map from page to leaf does',
  (config) => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 12 }), (ops) => {
        const memory = new TestMemory();
        const format = config.create();
        const table = new RadixTable(format, memory, memory);
        const lg2 = BigInt(format.granuleLg2);
        const span = pageSizesOf(format) === 1n << lg2 ? 1 : 2 ** format.indexBits;
        const model = new Model(span);
        for (const [n, { kind, page, size, count }] of ops.entries()) {
          const pages = size === 0 ? 1 : span;
          const first = page - (page % pages);
          const iova = BigInt(first) << lg2;
          const pa = BigInt(n * 64 * span) << lg2;
          const bytes = BigInt(pages) << lg2;
          if (kind === 'map') {
            const done = table.map(iova, pa, format.granuleLg2 + Math.log2(pages), count, config.prot);
            expect(done.mapped).toBe(model.map(first, pages, count, (i) => pa + BigInt(i) * bytes));
            expect(done.error === null).toBe(done.mapped === count);
          } else if (kind === 'oom') {
            memory.failNth(count);
            const done = table.map(iova, pa, format.granuleLg2, 1, config.prot);
            memory.failNth(0);
            if (done.mapped === 1) model.map(first, 1, 1, () => pa);
          } else {
            const gather = emptyGather();
            const removed = table.unmap(BigInt(page) << lg2, BigInt(count * pages) << lg2, gather);
            expect(removed >> lg2).toBe(BigInt(model.unmap(page, count * pages)));
            for (const freed of gather.freed) memory.free(freed);
          }
          for (const probe of [first, first + 1, page, page + count, 0, 511, 512]) {
            const leaf = model.at(probe);
            const expected = leaf === null ? null : leaf.pa + (BigInt(probe - leaf.start) << lg2) + 7n;
            expect(table.lookup((BigInt(probe) << lg2) + 7n)).toBe(expected);
          }
          expect(memory.live).toBe(table.tables);
        }
        for (const [start, leaf] of [...model.leaves]) {
          const gather = emptyGather();
          const bytes = BigInt(leaf.pages) << lg2;
          expect(table.unmap(BigInt(start) << lg2, bytes, gather)).toBe(bytes);
          for (const freed of gather.freed) memory.free(freed);
        }
        expect(memory.live).toBe(1);
        table.free();
        expect(memory.live).toBe(0);
      }),
      { numRuns: Math.ceil(RUNS / 2) },
    );
  },
  120_000,
);
