import { hiOf, loOf, toBig } from '@iommukit/bits';
import type { PhysicalMemory } from '@iommukit/core';

/** A table of either stage as the enumeration needs it. */
export interface TableShape {
  readonly granuleLg2: number;
  readonly startLevel: number;
  readonly rootShift: number;
  readonly rootMask: number;
  /** Bit L: level L may hold blocks. */
  readonly blocks: number;
  readonly outputBits: number;
  readonly rootHi: number;
  readonly rootLo: number;
  /** Descriptor bits 15:12 are address bits 51:48. */
  readonly wide: boolean;
  /** Leaves without the access flag count too. */
  readonly affd: boolean;
}

export interface Leaf {
  /** Input address, relative to the table. */
  readonly input: bigint;
  readonly output: bigint;
  readonly sizeLg2: number;
  readonly lo: number;
  readonly hi: number;
  /** OR of the high halves of the table descriptors above. */
  readonly above: number;
}

/** Where a table lies in physical memory; null where it cannot be reached. */
export type Locate = (address: bigint) => bigint | null;

const AF = 1 << 10;
/** Descriptors that may be read in vain: tables that point at each other hold more than anybody can list. */
const PATIENCE = 2 ** 24;

/** Reads tables from the top; leaves come by input address. What cannot be read or makes no sense is passed over. */
export class LeafReader {
  /** Descriptors read since the caller last had use for one, and set this to 0. Past a limit nothing more is found. */
  idle = 0;
  readonly #memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Every leaf that touches `[first, last]` of the input space. */
  leaves(shape: TableShape, first: bigint, last: bigint, locate: Locate): Iterable<Leaf> {
    const { startLevel: level, rootShift: shift, rootMask: mask } = shape;
    const table = { address: toBig(shape.rootHi, shape.rootLo), level, shift, mask, base: 0n, above: 0 };
    return this.#table({ shape, first, last, locate, barren: new Set() }, table);
  }

  /** Yields a table's leaves, and returns whether there were any. */
  *#table(search: Search, table: Table): Generator<Leaf, boolean> {
    const { first, last } = search;
    const step = 1n << BigInt(table.shift);
    const end = BigInt(table.mask) * step + step - 1n + table.base;
    const key = `${table.address} ${table.level}`;
    if (search.barren.has(key)) return false;
    const from = first > table.base ? Number((first - table.base) / step) : 0;
    const to = last < end ? Number((last - table.base) / step) : table.mask;
    let found = false;
    for (let index = from; index <= to; index++) found = (yield* this.#entry(search, table, index)) || found;
    if (!found && first <= table.base && last >= end) search.barren.add(key);
    return found;
  }

  *#entry(search: Search, table: Table, index: number): Generator<Leaf, boolean> {
    const { shape } = search;
    const { level, shift, above } = table;
    if (++this.idle > PATIENCE) return false;
    const at = search.locate(table.address + BigInt(index) * 8n);
    if (at === null || !this.#memory.read64(hiOf(at), loOf(at))) return false;
    const { lo, hi } = this.#memory;
    const kind = kindOf(shape, level, lo);
    if (kind === 'nothing') return false;
    const output = outputOf(shape, hi, lo, kind === 'table' ? shape.granuleLg2 : shift);
    if (output >> BigInt(shape.outputBits) !== 0n) return false;
    const input = table.base + (BigInt(index) << BigInt(shift));
    if (kind === 'leaf') {
      if ((lo & AF) === 0 && !shape.affd) return false;
      yield { input, output, sizeLg2: shift, lo, hi, above };
      return true;
    }
    const stride = shape.granuleLg2 - 3;
    const mask = (1 << stride) - 1;
    const next = { address: output, level: level + 1, shift: shift - stride, mask, base: input, above: above | hi };
    return yield* this.#table(search, next);
  }
}

interface Search {
  readonly shape: TableShape;
  readonly first: bigint;
  readonly last: bigint;
  readonly locate: Locate;
  /** Tables (by address and level) that hold no leaf: tables that point at each other would else be read for ever. */
  readonly barren: Set<string>;
}

interface Table {
  readonly address: bigint;
  readonly level: number;
  readonly shift: number;
  readonly mask: number;
  readonly base: bigint;
  readonly above: number;
}

function kindOf(shape: TableShape, level: number, lo: number): 'nothing' | 'table' | 'leaf' {
  if ((lo & 1) === 0) return 'nothing';
  const second = (lo & 2) !== 0;
  if (level === 3) return second ? 'leaf' : 'nothing';
  if (second) return 'table';
  return ((shape.blocks >>> level) & 1) !== 0 ? 'leaf' : 'nothing';
}

function outputOf(shape: TableShape, hi: number, lo: number, lg2: number): bigint {
  const low = (toBig(hi, lo) & 0x0000_ffff_ffff_ffffn) >> BigInt(lg2);
  const high = shape.wide ? BigInt((lo >>> 12) & 0xf) << 48n : 0n;
  return (low << BigInt(lg2)) | high;
}
