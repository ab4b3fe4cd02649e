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

/** Reads tables from the top; leaves come by input address. What cannot be read or makes no sense is passed over. */
export class LeafReader {
  readonly #memory: PhysicalMemory;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Every leaf that touches `[first, last]` of the input space. */
  leaves(shape: TableShape, first: bigint, last: bigint, locate: Locate): Iterable<Leaf> {
    const root = toBig(shape.rootHi, shape.rootLo);
    return this.#table(shape, root, shape.startLevel, shape.rootShift, shape.rootMask, 0n, 0, first, last, locate);
  }

  *#table(
    shape: TableShape,
    table: bigint,
    level: number,
    shift: number,
    mask: number,
    base: bigint,
    above: number,
    first: bigint,
    last: bigint,
    locate: Locate,
  ): Iterable<Leaf> {
    const step = 1n << BigInt(shift);
    const from = first > base ? Number((first - base) / step) : 0;
    const to = Math.min(mask, Number((last - base) / step));
    for (let index = from; index <= to; index++) {
      const input = base + BigInt(index) * step;
      const at = locate(table + BigInt(index) * 8n);
      if (at === null || !this.#memory.read64(hiOf(at), loOf(at))) continue;
      const { lo, hi } = this.#memory;
      const kind = kindOf(shape, level, lo);
      if (kind === 'nothing') continue;
      const output = outputOf(shape, hi, lo, kind === 'table' ? shape.granuleLg2 : shift);
      if (output >> BigInt(shape.outputBits) !== 0n) continue;
      if (kind === 'leaf') yield { input, output, sizeLg2: shift, lo, hi, above };
      else {
        const stride = shape.granuleLg2 - 3;
        const below = (1 << stride) - 1;
        yield* this.#table(shape, output, level + 1, shift - stride, below, input, above | hi, first, last, locate);
      }
    }
  }
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
