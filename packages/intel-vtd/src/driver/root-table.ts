import type { DmaPages, PhysicalMemory } from '@iommukit/core';
import { CONTEXT_ENTRY_BYTES, ROOT_ENTRY_BYTES, SCALABLE_CONTEXT_ENTRY_BYTES } from '../format/index.ts';
import { hiHalf, loHalf, store64 } from './address.ts';

const BUSES = 256;
const PRESENT = 1;

/**
 * The root table and the context tables under it, made as devices need them and kept until {@link free}. Legacy: one
 * table of 256 entries per bus; scalable: two of 128 entries, for devfn below and from 80h (VT-d 9.1, 9.2).
 */
export class RootTable {
  readonly pa: number;
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  readonly #scalable: boolean;
  /** Context tables by the quadword of the root table that points at them. */
  readonly #tables = new Map<number, number>();

  /** Throws ENOMEM. */
  constructor(memory: PhysicalMemory, pages: DmaPages, scalable: boolean) {
    this.#memory = memory;
    this.#pages = pages;
    this.#scalable = scalable;
    this.pa = pages.alloc(BUSES * ROOT_ENTRY_BYTES);
  }

  /** Physical address of a source-id's context entry; makes the table when it is the first there. Throws ENOMEM. */
  entry(sid: number): number {
    const devfn = sid & 0xff;
    if (!this.#scalable) return this.#table((sid >> 8) * 2) + devfn * CONTEXT_ENTRY_BYTES;
    return this.#table((sid >> 8) * 2 + (devfn >> 7)) + (devfn & 0x7f) * SCALABLE_CONTEXT_ENTRY_BYTES;
  }

  free(): void {
    for (const table of this.#tables.values()) this.#pages.free(table);
    this.#tables.clear();
    this.#pages.free(this.pa);
  }

  #table(quadword: number): number {
    const known = this.#tables.get(quadword);
    if (known !== undefined) return known;
    const table = this.#pages.alloc(4096);
    store64(this.#memory, this.pa + quadword * 8, hiHalf(table), loHalf(table) | PRESENT);
    this.#tables.set(quadword, table);
    return table;
  }
}
