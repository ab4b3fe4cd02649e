import { maskOf } from '@iommukit/bits';
import type { GuestMemory, GuestStage1, NativeData, NativeInvalidation } from '@iommukit/core';
import { FIRST_STAGE_PTE } from '../format/index.ts';
import { ALL_PAGES, invalidation, LEAF, nestedData } from './user-data.ts';

const LEVELS = 4;
const TABLE_BYTES = 4096;
const { P, RW, US, A, D, ADDR } = FIRST_STAGE_PTE.fields;
const PRESENT = maskOf(P);
const ADDRESS = maskOf(ADDR);
const READABLE = PRESENT | maskOf(US) | maskOf(A);
const TABLE = READABLE | maskOf(RW);
const WRITABLE = maskOf(RW) | maskOf(D);

/** A guest's 4-level first-stage table, in guest memory. It knows nothing of what the host makes of it. */
export class GuestFirstStage implements GuestStage1 {
  readonly data: NativeData;
  readonly #memory: GuestMemory;
  readonly #root: bigint;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.#root = memory.alloc(TABLE_BYTES);
    this.data = nestedData({ table: this.#root });
  }

  map(iova: bigint, gpa: bigint, writable: boolean): void {
    let table = this.#root;
    for (let level = LEVELS - 1; level > 0; level--) table = this.#next(table + offset(iova, level));
    this.#memory.write64(table + offset(iova, 0), (gpa & ADDRESS) | READABLE | (writable ? WRITABLE : 0n));
  }

  unmap(iova: bigint): void {
    let table = this.#root;
    for (let level = LEVELS - 1; level > 0; level--) {
      const entry = this.#memory.read64(table + offset(iova, level));
      if ((entry & PRESENT) === 0n) return;
      table = entry & ADDRESS;
    }
    this.#memory.write64(table + offset(iova, 0), 0n);
  }

  /** Tables are never taken away, so leaves are all that can be stale. */
  invalidatePage(iova: bigint): NativeInvalidation {
    return invalidation({ address: iova & ~0xfffn, pages: 1n, flags: LEAF });
  }

  invalidateAll(): NativeInvalidation {
    return invalidation({ address: 0n, pages: ALL_PAGES });
  }

  #next(at: bigint): bigint {
    const entry = this.#memory.read64(at);
    if ((entry & PRESENT) !== 0n) return entry & ADDRESS;
    const table = this.#memory.alloc(TABLE_BYTES);
    this.#memory.write64(at, table | TABLE);
    return table;
  }
}

/** Byte offset in a table; level 0 is the manual's FS-PTE. */
const offset = (iova: bigint, level: number): bigint => ((iova >> BigInt(12 + 9 * level)) & 0x1ffn) << 3n;
