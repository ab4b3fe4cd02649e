import type { DmaPages, PhysicalMemory } from '@iommukit/core';
import { PASID_DIRECTORY_ENTRY_BYTES, PASID_ENTRY_BYTES } from '../format/index.ts';
import { hiHalf, loHalf, store64 } from './address.ts';

const TABLE_LG2 = 6;
const PRESENT = 1;
/** PDTS of a directory that fills one page: 512 entries, 32768 PASIDs. */
const ONE_PAGE_PDTS = 2;

/**
 * A device's PASID directory and the tables under it (VT-d 9.5, 9.6). The directory is at least one page; tables of 64
 * entries are made as PASIDs need them and kept until {@link free}.
 */
export class PasidTable {
  readonly directory: number;
  /** The directory has 2^(PDTS+7) entries. */
  readonly pdts: number;
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  readonly #tables = new Map<number, number>();

  /** Room for PASIDs of `pasidBits`. Throws ENOMEM. */
  constructor(memory: PhysicalMemory, pages: DmaPages, pasidBits: number) {
    this.#memory = memory;
    this.#pages = pages;
    this.pdts = Math.max(ONE_PAGE_PDTS, pasidBits - TABLE_LG2 - 7);
    this.directory = pages.alloc(PASID_DIRECTORY_ENTRY_BYTES * 2 ** (this.pdts + 7));
  }

  /** Physical address of a PASID's entry; makes its table when it is the first there. Throws ENOMEM. */
  entry(pasid: number): number {
    const index = pasid >> TABLE_LG2;
    let table = this.#tables.get(index);
    if (table === undefined) {
      table = this.#pages.alloc(PASID_ENTRY_BYTES << TABLE_LG2);
      const at = this.directory + index * PASID_DIRECTORY_ENTRY_BYTES;
      store64(this.#memory, at, hiHalf(table), loHalf(table) | PRESENT);
      this.#tables.set(index, table);
    }
    return table + (pasid & 0x3f) * PASID_ENTRY_BYTES;
  }

  free(): void {
    for (const page of this.abandon()) this.#pages.free(page);
  }

  /** Hands over what {@link free} would give back. */
  abandon(): number[] {
    const pages = [this.directory, ...this.#tables.values()];
    this.#tables.clear();
    return pages;
  }
}
