import { type DmaPages, IommuError, type PhysicalMemory } from '@iommukit/core';
import type { PageTableFormat } from './format.ts';

const TWO_32 = 2 ** 32;

/** One table of the tree. The entries themselves live in physical memory only. */
export interface TableNode {
  readonly pa: number;
  /** Halves of {@link pa}, signed. */
  readonly hi: number;
  readonly lo: number;
  readonly level: number;
  readonly parent: TableNode | null;
  /** Where the parent points here. */
  readonly index: number;
  /** Present entries, tables and leaves. */
  live: number;
}

/**
 * The tables behind a {@link RadixTable}: allocated, linked, found and unlinked here, their leaves written elsewhere.
 * Input addresses are counted in frames of the smallest page (`frame = iova >> granuleLg2`), exact in a double.
 *
 * No table but the root is ever empty: one that loses its last entry is unlinked, so that a block can stand there.
 */
export class TableTree {
  readonly format: PageTableFormat;
  readonly memory: PhysicalMemory;
  readonly pages: DmaPages;
  readonly root: TableNode;
  private readonly nodes = new Map<number, TableNode>();
  private readonly fanout: number;
  private readonly rootEntries: number;
  private readonly spans: readonly number[];
  private recent: TableNode | null = null;
  private recentKey = -1;

  /** Throws IommuError ENOMEM. */
  constructor(format: PageTableFormat, memory: PhysicalMemory, pages: DmaPages) {
    this.format = format;
    this.memory = memory;
    this.pages = pages;
    this.fanout = 2 ** format.indexBits;
    this.rootEntries = 2 ** format.rootIndexBits;
    this.spans = Array.from({ length: format.levels }, (_, level) => 2 ** (level * format.indexBits));
    this.root = node(pages.alloc(8 * 2 ** format.rootIndexBits), format.levels - 1, null, 0);
    this.nodes.set(this.root.pa, this.root);
  }

  /** Tables allocated and not unlinked, the root included. */
  get size(): number {
    return this.nodes.size;
  }

  entries(level: number): number {
    return level === this.root.level ? this.rootEntries : this.fanout;
  }

  /** Frames that one entry of `level` covers. */
  span(level: number): number {
    return this.spans[level]!;
  }

  indexOf(frame: number, level: number): number {
    return Math.floor(frame / this.span(level)) % this.entries(level);
  }

  /** The lowest existing table on the way to `frame`, not below level `downTo`. */
  descend(frame: number, downTo: number): TableNode {
    const key = Math.floor(frame / this.fanout);
    if (downTo === 0 && this.recent !== null && key === this.recentKey) return this.recent;
    let table = this.root;
    while (table.level > downTo) {
      const child = this.child(table, this.indexOf(frame, table.level));
      if (child === null) return table;
      table = child;
    }
    if (table.level === 0 && table !== this.root) {
      this.recent = table;
      this.recentKey = key;
    }
    return table;
  }

  /**
   * The table at `level` on the way to `frame`, made with all that is missing above it. Throws IommuError EEXIST when a
   * larger page is in the way and ENOMEM; a failure leaves nothing behind.
   */
  reach(frame: number, level: number): TableNode {
    const table = this.descend(frame, level);
    if (table.level === level) return table;
    const index = this.indexOf(frame, table.level);
    if (!this.memory.read64(table.hi, (table.lo + index * 8) | 0))
      throw new IommuError('EIO', `page table at 0x${table.pa.toString(16)} cannot be read`);
    if (this.format.isPresent(this.memory.lo, this.memory.hi))
      throw new IommuError('EEXIST', `a larger page is mapped at frame 0x${frame.toString(16)}`);
    return this.grow(table, frame, level);
  }

  /** Takes `count` entries off a table's account and unlinks it, and its parents, when they become empty. */
  shrink(table: TableNode, count: number, freed: number[]): void {
    table.live -= count;
    if (table.live > 0 || table.parent === null) return;
    this.memory.write64(table.parent.hi, (table.parent.lo + table.index * 8) | 0, 0, 0);
    this.forget(table);
    freed.push(table.pa);
    this.shrink(table.parent, 1, freed);
  }

  /** Gives all tables back. The tree must not be used again. */
  free(): void {
    for (const pa of this.nodes.keys()) this.pages.free(pa);
    this.nodes.clear();
    this.recent = null;
  }

  /** The table an entry points at, or null when the entry is a leaf, absent or unreadable. */
  child(table: TableNode, index: number): TableNode | null {
    const { memory, format } = this;
    if (!memory.read64(table.hi, (table.lo + index * 8) | 0)) return null;
    const { lo, hi } = memory;
    if (!format.isPresent(lo, hi) || !format.isTable(table.level, lo, hi)) return null;
    format.decodeAddress(table.level, lo, hi);
    return this.nodes.get((format.hi >>> 0) * TWO_32 + (format.lo >>> 0)) ?? null;
  }

  /** Every table is allocated before the first one is linked, and the live one last: a walker never meets half a path. */
  private grow(from: TableNode, frame: number, level: number): TableNode {
    const made: TableNode[] = [];
    let parent = from;
    try {
      while (parent.level > level) {
        const pa = this.pages.alloc(2 ** this.format.granuleLg2);
        parent = node(pa, parent.level - 1, parent, this.indexOf(frame, parent.level));
        made.push(parent);
      }
      for (let i = made.length - 1; i >= 0; i--) this.link(made[i]!);
    } catch (error) {
      for (const table of made) this.pages.free(table.pa);
      throw error;
    }
    for (const table of made) {
      this.nodes.set(table.pa, table);
      table.parent!.live++;
    }
    return parent;
  }

  private link(table: TableNode): void {
    const parent = table.parent!;
    this.format.encodeTable(table.hi, table.lo);
    if (!this.memory.write64(parent.hi, (parent.lo + table.index * 8) | 0, this.format.hi, this.format.lo))
      throw new IommuError('EIO', `page table at 0x${parent.pa.toString(16)} cannot be written`);
  }

  private forget(table: TableNode): void {
    this.nodes.delete(table.pa);
    if (this.recent === table) this.recent = null;
  }
}

function node(pa: number, level: number, parent: TableNode | null, index: number): TableNode {
  return { pa, hi: Math.floor(pa / TWO_32) | 0, lo: pa | 0, level, parent, index, live: 0 };
}
