import assert from 'node:assert/strict';
import type { Gather } from '@iommukit/core';
import { IommuError } from '@iommukit/core';
import type { PageTableFormat } from '../format.ts';
import { inputBitsOf, pageSizesOf, RadixTable } from '../radix.ts';
import { TestMemory } from './memory.ts';

/** An entry computed by hand from the manual: what stands in memory after one page was mapped. */
export interface LiteralEntry {
  readonly title: string;
  readonly iova: bigint;
  readonly pa: bigint;
  readonly pageSizeLg2: number;
  readonly prot: number;
  readonly raw: bigint;
}

/** One configuration of a format. */
export interface FormatConfig {
  readonly name: string;
  /** A fresh format: formats carry their result in themselves. */
  create(): PageTableFormat;
  /** A protection every entry can hold. */
  readonly prot: number;
  /** A protection no entry can hold, or null. */
  readonly badProt: number | null;
  readonly literals: readonly LiteralEntry[];
}

export interface PageTableCase {
  readonly id: string;
  /** Throws AssertionError. */
  run(config: FormatConfig): void;
}

interface Rig {
  readonly memory: TestMemory;
  readonly format: PageTableFormat;
  readonly table: RadixTable;
  /** log2 of every page size, ascending. */
  readonly sizes: readonly number[];
  readonly prot: number;
}

export const emptyGather = (): Gather => ({ start: (1n << 64n) - 1n, last: 0n, pageSize: 0n, freed: [] });

function rigOf(config: FormatConfig): Rig {
  const memory = new TestMemory();
  const format = config.create();
  const all = pageSizesOf(format);
  const sizes = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (all >> BigInt(bit)) & 1n);
  return { memory, format, table: new RadixTable(format, memory, memory), sizes, prot: config.prot };
}

function mustMap(rig: Rig, iova: bigint, pa: bigint, lg2: number, count = 1): void {
  assert.deepEqual(rig.table.map(iova, pa, lg2, count, rig.prot), { mapped: count, error: null });
}

/** Unmaps, frees what came loose, and returns the bytes removed. */
function unmap(rig: Rig, iova: bigint, size: bigint): bigint {
  const gather = emptyGather();
  const bytes = rig.table.unmap(iova, size, gather);
  for (const pa of gather.freed) rig.memory.free(pa);
  return bytes;
}

function assertErrno(error: Error | null, errno: string): void {
  assert.ok(error instanceof IommuError, `expected ${errno}, got ${error}`);
  assert.equal(error.errno, errno);
}

/** A table that maps nothing is its root alone, and a freed one is nothing at all. */
function assertClean(rig: Rig): void {
  assert.equal(rig.table.tables, 1);
  assert.equal(rig.memory.live, 1);
  rig.table.free();
  assert.equal(rig.memory.live, 0);
}

const size = (lg2: number): bigint => 1n << BigInt(lg2);
/** A page near the top of what the format can point at, so that no address bit is left out. */
const highPa = (rig: Rig, lg2: number): bigint => (1n << BigInt(rig.format.outputBits)) - size(lg2);

export const pageTableCases: readonly PageTableCase[] = [
  {
    id: 'literal-entries',
    run(config) {
      for (const { title, iova, pa, pageSizeLg2, prot, raw } of config.literals) {
        const { table } = rigOf(config);
        assert.deepEqual(table.map(iova, pa, pageSizeLg2, 1, prot), { mapped: 1, error: null }, title);
        assert.equal(`0x${table.entryAt(iova)!.raw.toString(16)}`, `0x${raw.toString(16)}`, title);
      }
    },
  },
  {
    id: 'root-alignment',
    run(config) {
      const { table, format } = rigOf(config);
      const bytes = 8n << BigInt(format.rootIndexBits);
      assert.equal(table.root % (bytes > 4096n ? bytes : 4096n), 0n);
    },
  },
  {
    id: 'map/every-size-first-and-last',
    run(config) {
      const rig = rigOf(config);
      for (const lg2 of rig.sizes) {
        for (const iova of [0n, (1n << BigInt(inputBitsOf(rig.format))) - size(lg2)]) {
          mustMap(rig, iova, highPa(rig, lg2), lg2);
          assert.equal(rig.table.lookup(iova + size(lg2) - 1n), highPa(rig, lg2) + size(lg2) - 1n);
          assert.equal(rig.table.lookup(iova), highPa(rig, lg2));
          assert.equal(unmap(rig, iova, size(lg2)), size(lg2));
          assert.equal(rig.table.lookup(iova), null);
        }
      }
      assertClean(rig);
    },
  },
  {
    id: 'map/run-across-tables',
    run(config) {
      const rig = rigOf(config);
      const lg2 = rig.sizes[0]!;
      const entries = 1 << rig.format.indexBits;
      const first = BigInt(entries - 3) << BigInt(lg2);
      mustMap(rig, first, 0n, lg2, entries + 6);
      for (let i = 0n; i < entries + 6; i++)
        assert.equal(rig.table.lookup(first + (i << BigInt(lg2)) + 5n), (i << BigInt(lg2)) + 5n);
      assert.equal(rig.table.lookup(first - 1n), null);
      assert.equal(rig.table.lookup(first + (BigInt(entries + 6) << BigInt(lg2))), null);
      assert.equal(unmap(rig, first, BigInt(entries + 6) << BigInt(lg2)), BigInt(entries + 6) << BigInt(lg2));
      assertClean(rig);
    },
  },
  {
    id: 'map/refuses-over-a-mapping',
    run(config) {
      const rig = rigOf(config);
      for (const lg2 of rig.sizes) {
        mustMap(rig, 0n, 0n, lg2);
        for (const other of rig.sizes) {
          const result = rig.table.map(0n, 0n, other, 1, rig.prot);
          assert.equal(result.mapped, 0);
          assertErrno(result.error, 'EEXIST');
        }
        assert.equal(unmap(rig, 0n, size(lg2)), size(lg2));
      }
      assertClean(rig);
    },
  },
  {
    id: 'map/partial-is-counted',
    run(config) {
      const rig = rigOf(config);
      const lg2 = rig.sizes[0]!;
      mustMap(rig, size(lg2) * 5n, 0n, lg2);
      const result = rig.table.map(0n, 0n, lg2, 9, rig.prot);
      assert.equal(result.mapped, 5);
      assertErrno(result.error, 'EEXIST');
      assert.equal(unmap(rig, 0n, size(lg2) * 9n), size(lg2) * 6n);
      assertClean(rig);
    },
  },
  {
    id: 'map/bad-arguments',
    run(config) {
      const rig = rigOf(config);
      const lg2 = rig.sizes[0]!;
      const page = size(lg2);
      const end = 1n << BigInt(inputBitsOf(rig.format));
      const tooWide = 1n << BigInt(rig.format.outputBits);
      assertErrno(rig.table.map(0n, 0n, lg2 - 1, 1, rig.prot).error, 'EINVAL');
      assertErrno(rig.table.map(0n, 0n, lg2 + 1, 1, rig.prot).error, 'EINVAL');
      assertErrno(rig.table.map(1n, 0n, lg2, 1, rig.prot).error, 'EINVAL');
      assertErrno(rig.table.map(0n, page / 2n, lg2, 1, rig.prot).error, 'EINVAL');
      assertErrno(rig.table.map(end - page, 0n, lg2, 2, rig.prot).error, 'ERANGE');
      assertErrno(rig.table.map(0n, tooWide - page, lg2, 2, rig.prot).error, 'ERANGE');
      if (config.badProt !== null) assertErrno(rig.table.map(0n, 0n, lg2, 1, config.badProt).error, 'EINVAL');
      assertClean(rig);
    },
  },
  {
    id: 'unmap/stops-at-a-hole',
    run(config) {
      const rig = rigOf(config);
      const page = size(rig.sizes[0]!);
      mustMap(rig, 0n, 0n, rig.sizes[0]!, 3);
      mustMap(rig, page * 4n, 0n, rig.sizes[0]!, 2);
      assert.equal(unmap(rig, page * 3n, page * 3n), 0n);
      assert.equal(unmap(rig, page, page * 8n), page * 2n);
      assert.equal(rig.table.lookup(page * 4n), 0n);
      assert.equal(unmap(rig, 0n, page * 8n), page);
      assert.equal(unmap(rig, page * 4n, page * 2n), page * 2n);
      assertClean(rig);
    },
  },
  {
    id: 'unmap/cuts-no-block',
    run(config) {
      const rig = rigOf(config);
      const page = size(rig.sizes[0]!);
      for (const lg2 of rig.sizes.slice(1)) {
        const block = size(lg2);
        mustMap(rig, block, 0n, lg2);
        mustMap(rig, block - page, 0n, rig.sizes[0]!);
        assert.equal(unmap(rig, block + page, block), 0n, 'starts inside');
        assert.equal(unmap(rig, block, block - page), 0n, 'ends inside');
        assert.equal(unmap(rig, block - page, block), page, 'stops before the block');
        assert.equal(rig.table.lookup(block), 0n);
        assert.equal(unmap(rig, block, block), block);
      }
      assertClean(rig);
    },
  },
  {
    id: 'unmap/gathers-what-went',
    run(config) {
      const rig = rigOf(config);
      const gather = emptyGather();
      const sizes = rig.sizes.slice(0, 2);
      const large = size(sizes.at(-1)!);
      const page = size(sizes[0]!);
      mustMap(rig, large, 0n, sizes.at(-1)!);
      mustMap(rig, large * 2n, 0n, sizes[0]!, 2);
      assert.equal(rig.table.unmap(large, large + page * 2n, gather), large + page * 2n);
      assert.deepEqual(
        [gather.start, gather.last, gather.pageSize, gather.leafSizes],
        [large, large * 2n + page * 2n - 1n, page, sizes.length > 1 ? large | page : page],
      );
      assert.equal(gather.freed.length, rig.memory.live - 1, 'every table but the root came loose');
      for (const pa of gather.freed) rig.memory.free(pa);
      assertClean(rig);
    },
  },
  {
    id: 'map/out-of-memory-everywhere',
    run(config) {
      const rig = rigOf(config);
      const lg2 = rig.sizes[0]!;
      const entries = 1 << rig.format.indexBits;
      const first = size(lg2) * BigInt(entries - 1);
      for (let nth = 1; ; nth++) {
        rig.memory.failNth(nth);
        const { mapped, error } = rig.table.map(first, 0n, lg2, entries + 2, rig.prot);
        rig.memory.failNth(0);
        assert.equal(unmap(rig, first, BigInt(mapped) * size(lg2)), BigInt(mapped) * size(lg2));
        assert.equal(rig.memory.live, 1, `allocation ${nth} failed and something stayed behind`);
        if (error === null) break;
        assertErrno(error, 'ENOMEM');
        assert.ok(mapped === 0 || mapped === 1 || mapped === entries + 1);
      }
      assertClean(rig);
    },
  },
  {
    id: 'dirty/read-and-clear',
    run(config) {
      const rig = rigOf(config);
      const { format, table, memory } = rig;
      if (format.isDirty === undefined) return;
      const lg2 = rig.sizes[0]!;
      mustMap(rig, 0n, 0n, lg2, 4);
      const seen: bigint[] = [];
      const collect = (keep: boolean): bigint[] => {
        seen.length = 0;
        table.readAndClearDirty(0n, size(lg2) * 8n, keep, (iova) => seen.push(iova));
        return [...seen];
      };
      collect(false);
      assert.deepEqual(collect(false), []);
      const at = Number(table.entryAt(size(lg2))!.address);
      const dirty = dirtied(format, table.entryAt(size(lg2))!.raw);
      memory.write64(
        Math.floor(at / 2 ** 32),
        at | 0,
        Number(BigInt.asIntN(32, dirty >> 32n)),
        Number(BigInt.asIntN(32, dirty)),
      );
      assert.deepEqual(collect(true), [size(lg2)]);
      assert.deepEqual(collect(false), [size(lg2)]);
      assert.deepEqual(collect(true), []);
      assert.equal(table.lookup(size(lg2)), size(lg2));
    },
  },
];

/** The entry with the one bit changed that makes the format call it dirty. */
function dirtied(format: PageTableFormat, raw: bigint): bigint {
  for (let bit = 0n; bit < 64n; bit++) {
    const other = raw ^ (1n << bit);
    const lo = Number(BigInt.asIntN(32, other));
    const hi = Number(BigInt.asIntN(32, other >> 32n));
    if (format.isPresent(lo, hi) && format.isDirty!(0, lo, hi)) return other;
  }
  throw new assert.AssertionError({ message: `no single bit makes 0x${raw.toString(16)} dirty` });
}
