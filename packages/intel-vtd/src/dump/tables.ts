import { hiOf, loOf, toBig } from '@iommukit/bits';
import { type DumpMapping, PERMISSION, type PhysicalMemory } from '@iommukit/core';
import { type EntryReader, pageBytes } from './entry.ts';

const ENTRIES = 512n;
const ALL = PERMISSION.READ | PERMISSION.WRITE;

/** A radix table, and where its tables are: `locate` gives a table's host address, or null when it has none. */
export interface Tables {
  readonly memory: PhysicalMemory;
  readonly root: bigint;
  readonly levels: number;
  readonly read: EntryReader;
  readonly locate: (address: bigint) => bigint | null;
  /** Input addresses of this width and above are sign-extended; 64 = none are. */
  readonly signBits: number;
  /** Input addresses end here (exclusive), before sign extension. */
  readonly limit: bigint;
  /** What one leaf contributes: itself, parts of it, or nothing. */
  readonly expand: (leaf: DumpMapping) => Iterable<DumpMapping>;
}

function readEntry(memory: PhysicalMemory, address: bigint): bigint | null {
  return memory.read64(hiOf(address), loOf(address)) ? toBig(memory.hi, memory.lo) : null;
}

const extend = (iova: bigint, bits: number): bigint =>
  bits < 64 && (iova >> BigInt(bits - 1)) & 1n ? BigInt.asUintN(64, BigInt.asIntN(bits, iova)) : iova;

/**
 * What a table maps, ascending. A table that contributed nothing is not entered again, so that a dump in which tables
 * share or contain each other costs what it yields.
 */
export function* leaves(tables: Tables): Generator<DumpMapping> {
  yield* below(tables, tables.root, tables.levels, 0n, ALL, new Set());
}

function* below(
  tables: Tables,
  table: bigint,
  level: number,
  base: bigint,
  rights: number,
  empty: Set<string>,
): Generator<DumpMapping, boolean> {
  const key = `${level}:${rights}:${table}`;
  const host = empty.has(key) ? null : tables.locate(table);
  if (host === null) return false;
  let found = false;
  for (let i = 0n; i < ENTRIES; i++) {
    const iova = base + i * pageBytes(level);
    if (iova >= tables.limit) break;
    const value = readEntry(tables.memory, host + i * 8n);
    const entry = value === null ? null : tables.read(value, level);
    if (entry === null || (rights & entry.rights) === 0) continue;
    const both = rights & entry.rights;
    const inside = entry.leaf
      ? leaf(tables, extend(iova, tables.signBits), entry.address, pageBytes(level), both)
      : below(tables, entry.address, level - 1, iova, both, empty);
    if (yield* inside) found = true;
  }
  if (!found) empty.add(key);
  return found;
}

function* leaf(
  tables: Tables,
  iova: bigint,
  pa: bigint,
  size: bigint,
  permissions: number,
): Generator<DumpMapping, boolean> {
  let found = false;
  for (const part of tables.expand({ iova, pa, size, pageSize: size, permissions })) {
    found = true;
    yield part;
  }
  return found;
}

/** A hole: nothing serves the `size` bytes from `iova` on. */
export interface Hole {
  readonly iova: bigint;
  readonly size: bigint;
  readonly permissions: 0;
}

/** The leaf that serves one address, or the hole it lies in. */
export function lookup(tables: Tables, address: bigint): DumpMapping | Hole {
  let table = tables.root;
  let rights = ALL;
  for (let level = tables.levels; ; level--) {
    const size = pageBytes(level);
    const iova = address - (address % size);
    const host = tables.locate(table);
    const value = host === null ? null : readEntry(tables.memory, host + ((address / size) % ENTRIES) * 8n);
    const entry = value === null ? null : tables.read(value, level);
    if (entry !== null) rights &= entry.rights;
    if (entry === null || rights === 0) return { iova, size, permissions: 0 };
    if (entry.leaf) return { iova, pa: entry.address, size, pageSize: size, permissions: rights };
    table = entry.address;
  }
}
