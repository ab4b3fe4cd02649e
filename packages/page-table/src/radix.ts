import { toBig } from '@iommukit/bits';
import { type DmaPages, type Gather, IommuError, type MapResult, type PhysicalMemory } from '@iommukit/core';
import { collectDirty } from './dirty.ts';
import type { PageTableFormat } from './format.ts';
import { mapLeaves } from './map.ts';
import { TableTree } from './tree.ts';
import { Removed, unmapLeaves } from './unmap.ts';

/** An entry as it stands in memory, for tests and for people. */
export interface EntryView {
  readonly address: bigint;
  /** 0 = smallest page. */
  readonly level: number;
  readonly raw: bigint;
  readonly present: boolean;
}

/** Bit n set: the format maps pages of 2^n bytes. */
export function pageSizesOf(format: PageTableFormat): bigint {
  let sizes = 0n;
  for (let level = 0; level < format.levels; level++)
    if ((format.leafLevels >> level) & 1) sizes |= 1n << BigInt(format.granuleLg2 + level * format.indexBits);
  return sizes;
}

/** Width of the input addresses a table of this format covers, in bits. */
export const inputBitsOf = (format: PageTableFormat): number =>
  format.granuleLg2 + (format.levels - 1) * format.indexBits + format.rootIndexBits;

/**
 * A page table in physical memory, as a driver builds it. It writes entries and allocates tables; which invalidations
 * that takes is its user's business. Addresses cover `[0, 2^inputBitsOf(format))`.
 */
export class RadixTable {
  readonly format: PageTableFormat;
  /** Physical address of the root table, aligned to the root's size (concatenation) and at least to 4 KiB. */
  readonly root: bigint;
  private readonly tree: TableTree;
  private readonly removed = new Removed();
  private readonly granule: bigint;
  private readonly inputEnd: bigint;
  private readonly outputEnd: bigint;

  /** Allocates the root. Throws IommuError ENOMEM. */
  constructor(format: PageTableFormat, memory: PhysicalMemory, pages: DmaPages) {
    this.format = format;
    this.tree = new TableTree(format, memory, pages);
    this.root = BigInt(this.tree.root.pa);
    this.granule = BigInt(format.granuleLg2);
    this.inputEnd = 1n << BigInt(inputBitsOf(format));
    this.outputEnd = 1n << BigInt(format.outputBits);
  }

  /** Tables in use, the root included. */
  get tables(): number {
    return this.tree.size;
  }

  /**
   * Maps `count` pages of `2^pageSizeLg2` bytes. EINVAL: no such page size, misaligned, or a protection the format cannot
   * hold. ERANGE: an address outside what the table takes or gives. EEXIST over a mapping. ENOMEM.
   */
  map(iova: bigint, pa: bigint, pageSizeLg2: number, count: number, prot: number): MapResult {
    const { format } = this;
    const level = (pageSizeLg2 - format.granuleLg2) / format.indexBits;
    const size = 1n << BigInt(pageSizeLg2);
    const bytes = size * BigInt(count);
    if (!Number.isInteger(level) || level >= format.levels || ((format.leafLevels >> level) & 1) === 0)
      return refuse('EINVAL', `no pages of 2^${pageSizeLg2} bytes`);
    if (((iova | pa) & (size - 1n)) !== 0n) return refuse('EINVAL', 'iova and pa must be multiples of the page size');
    if (iova < 0n || iova + bytes > this.inputEnd) return refuse('ERANGE', 'iova lies outside the table');
    if (pa < 0n || pa + bytes > this.outputEnd) return refuse('ERANGE', 'pa is wider than the format holds');
    if (!format.encodeLeaf(level, 0, 0, prot)) return refuse('EINVAL', 'the format cannot hold this protection');
    return mapLeaves(this.tree, Number(iova >> this.granule), Number(pa), level, count, prot);
  }

  /**
   * Removes the mapped pages in `[iova, iova + size)` and returns the bytes removed from `iova` on. It stops at the first
   * hole, and before a larger page that the range cuts: the start or the end inside one removes nothing of it.
   * Adds to `gather` what was removed; its `freed` are unlinked tables, to be freed after the invalidation.
   */
  unmap(iova: bigint, size: bigint, gather: Gather): bigint {
    if (iova < 0n || size <= 0n || iova >= this.inputEnd || (iova & ((1n << this.granule) - 1n)) !== 0n) return 0n;
    const end = iova + size > this.inputEnd ? this.inputEnd : iova + size;
    const frames = Number((end - iova) >> this.granule);
    unmapLeaves(this.tree, Number(iova >> this.granule), frames, gather.freed, this.removed);
    if (this.removed.frames === 0) return 0n;
    const bytes = BigInt(this.removed.frames) << this.granule;
    this.note(gather, iova, iova + bytes - 1n);
    return bytes;
  }

  /** The physical address `iova` maps to, or null. */
  lookup(iova: bigint): bigint | null {
    const entry = this.entryAt(iova);
    if (entry === null || !entry.present) return null;
    const { format } = this;
    format.decodeAddress(entry.level, Number(entry.raw & 0xffff_ffffn) | 0, Number(entry.raw >> 32n) | 0);
    const size = 1n << BigInt(format.granuleLg2 + entry.level * format.indexBits);
    return toBig(format.hi, format.lo) | (iova & (size - 1n));
  }

  /** The entry that decides about `iova`: a leaf, or the absent entry where the walk ends. Null outside the table. */
  entryAt(iova: bigint): EntryView | null {
    if (iova < 0n || iova >= this.inputEnd) return null;
    const { tree } = this;
    const frame = Number(iova >> this.granule);
    const table = tree.descend(frame, 0);
    const offset = tree.indexOf(frame, table.level) * 8;
    if (!tree.memory.read64(table.hi, (table.lo + offset) | 0)) return null;
    const { lo, hi } = tree.memory;
    return {
      address: BigInt(table.pa) + BigInt(offset),
      level: table.level,
      raw: toBig(hi, lo),
      present: this.format.isPresent(lo, hi),
    };
  }

  /**
   * Calls `report(iova, size)` for every leaf in the range that was written since it was last clean, whole even where the
   * range cuts it, and makes it clean unless `keep`. Holes are passed over. Needs a format that knows dirty entries.
   */
  readAndClearDirty(iova: bigint, size: bigint, keep: boolean, report: (iova: bigint, size: bigint) => void): void {
    if (this.format.isDirty === undefined || this.format.encodeClean === undefined)
      throw new IommuError('EOPNOTSUPP', `${this.format.name} has no dirty bit`);
    const { granule } = this;
    const end = iova + size > this.inputEnd ? this.inputEnd : iova + size;
    if (end <= iova) return;
    const first = iova >> granule;
    const frames = Number(((end - 1n) >> granule) - first + 1n);
    // Most leaves have one size, and a frame times a power of two is exact.
    const bytes = 2 ** this.format.granuleLg2;
    let lastCount = 0;
    let lastSize = 0n;
    collectDirty(this.tree, Number(first), frames, keep, (frame, count) => {
      if (count !== lastCount) {
        lastCount = count;
        lastSize = BigInt(count * bytes);
      }
      report(BigInt(frame * bytes), lastSize);
    });
  }

  /** Gives every table back, the root included. Nothing may walk the table any more. */
  free(): void {
    this.tree.free();
  }

  private note(gather: Gather, start: bigint, last: bigint): void {
    const empty = gather.start > gather.last;
    if (empty || start < gather.start) gather.start = start;
    if (empty || last > gather.last) gather.last = last;
    const { levels } = this.removed;
    for (let level = 0; level < this.format.levels; level++) {
      if (((levels >> level) & 1) === 0) continue;
      const size = 1n << BigInt(this.format.granuleLg2 + level * this.format.indexBits);
      if (gather.pageSize === 0n || size < gather.pageSize) gather.pageSize = size;
      gather.leafSizes = (gather.leafSizes ?? 0n) | size;
    }
  }
}

function refuse(errno: 'EINVAL' | 'ERANGE', message: string): MapResult {
  return { mapped: 0, error: new IommuError(errno, message) };
}
