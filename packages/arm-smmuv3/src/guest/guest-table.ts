import { toBig } from '@iommukit/bits';
import type { GuestMemory } from '@iommukit/core';
import { DESCRIPTOR, S1_PAGE, S1_TABLE } from '../format/pte.ts';

const LEAF_LEVEL = 3;
const INDEX_BITS = 9n;
const PAGE_LG2 = 12n;
const TABLE_BYTES = 4096;
/** AttrIndx 1 of the guest's MAIR: Normal write-back. */
const WRITE_BACK = 1;
const ISH = 3;

/** A guest's own stage-1 table: 4 KiB granule, four levels, 48 bits. Written the plain way: one entry at a time. */
export class GuestTable {
  readonly root: bigint;
  private readonly memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.memory = memory;
    this.root = memory.alloc(TABLE_BYTES);
  }

  map(iova: bigint, gpa: bigint, writable: boolean): void {
    const entry = S1_PAGE.encode({
      Type: DESCRIPTOR.PAGE,
      AttrIndx: WRITE_BACK,
      AP1: true,
      AP2: !writable,
      SH: ISH,
      AF: true,
      nG: true,
      OA: gpa & ~0xfffn,
    });
    this.memory.write64(this.slot(iova, true)!, toBig(entry[1]!, entry[0]!));
  }

  unmap(iova: bigint): void {
    const slot = this.slot(iova, false);
    if (slot !== null) this.memory.write64(slot, 0n);
  }

  /** Where the leaf of `iova` stands; null when there is no table for it and `create` is false. */
  private slot(iova: bigint, create: boolean): bigint | null {
    let table = this.root;
    for (let level = 0; level < LEAF_LEVEL; level++) {
      const at = table + index(iova, level) * 8n;
      const found = this.memory.read64(at);
      if ((found & 1n) === 0n && !create) return null;
      table = (found & 1n) === 0n ? this.link(at) : found & 0xffff_ffff_f000n;
    }
    return table + index(iova, LEAF_LEVEL) * 8n;
  }

  private link(at: bigint): bigint {
    const table = this.memory.alloc(TABLE_BYTES);
    const entry = S1_TABLE.encode({ Type: DESCRIPTOR.TABLE, NextTable: table });
    this.memory.write64(at, toBig(entry[1]!, entry[0]!));
    return table;
  }
}

const index = (iova: bigint, level: number): bigint =>
  (iova >> (PAGE_LG2 + BigInt(LEAF_LEVEL - level) * INDEX_BITS)) & 0x1ffn;
