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
}

function readEntry(memory: PhysicalMemory, address: bigint): bigint | null {
  return memory.read64(hiOf(address), loOf(address)) ? toBig(memory.hi, memory.lo) : null;
}

const extend = (iova: bigint, bits: number): bigint =>
  bits < 64 && (iova >> BigInt(bits - 1)) & 1n ? BigInt.asUintN(64, BigInt.asIntN(bits, iova)) : iova;

/** Leaves in ascending order. A table found empty is not entered again, so that tables that share one stay cheap. */
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
  const key = `${level}:${table}`;
  const host = empty.has(key) ? null : tables.locate(table);
  if (host === null) return false;
  let found = false;
  for (let i = 0n; i < ENTRIES; i++) {
    const value = readEntry(tables.memory, host + i * 8n);
    const entry = value === null ? null : tables.read(value, level);
    if (entry === null) continue;
    const iova = base + i * pageBytes(level);
    const both = rights & entry.rights;
    if (entry.leaf) {
      found = true;
      if (both === 0) continue;
      const size = pageBytes(level);
      yield { iova: extend(iova, tables.signBits), pa: entry.address, size, pageSize: size, permissions: both };
    } else if (yield* below(tables, entry.address, level - 1, iova, both, empty)) found = true;
  }
  if (!found) empty.add(key);
  return found;
}

/** The leaf that serves one address, or null. */
export function lookup(tables: Tables, address: bigint): DumpMapping | null {
  let table = tables.root;
  let rights = ALL;
  for (let level = tables.levels; level > 0; level--) {
    const host = tables.locate(table);
    if (host === null) return null;
    const index = (address / pageBytes(level)) % ENTRIES;
    const value = readEntry(tables.memory, host + index * 8n);
    const entry = value === null ? null : tables.read(value, level);
    if (entry === null) return null;
    rights &= entry.rights;
    const size = pageBytes(level);
    if (entry.leaf)
      return { iova: address - (address % size), pa: entry.address, size, pageSize: size, permissions: rights };
    table = entry.address;
  }
  return null;
}
