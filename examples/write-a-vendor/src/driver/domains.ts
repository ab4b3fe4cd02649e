import type { Words } from '@iommukit/bits';
import {
  type DeviceHandle,
  type Gather,
  type Geometry,
  isEmptyGather,
  type MapResult,
  type PagingDomainOps,
  type Prot,
  type StaticDomainOps,
} from '@iommukit/core';
import { inputBitsOf, pageSizesOf, RadixTable } from '@iommukit/page-table';
import { DEVICE_ENTRY, INV_ROOT, MODE, OP } from '../format/structures.ts';
import { TurnstileFormat } from './page-table-format.ts';
import type { Unit } from './unit.ts';

/** Blocked or identity: an entry that needs no table. */
export class StaticDomain implements StaticDomainOps {
  readonly kind: 'identity' | 'blocked';
  readonly #unit: Unit;
  readonly #entry: Words;

  constructor(kind: 'identity' | 'blocked', unit: Unit) {
    this.kind = kind;
    this.#unit = unit;
    this.#entry = DEVICE_ENTRY.encode({ MODE: kind === 'identity' ? MODE.BYPASS : MODE.BLOCK });
  }

  attach(device: DeviceHandle): void {
    this.#unit.configure(device, this.#entry);
  }

  free(): void {}
}

/** A page table. Its root is also the tag of what the unit remembers of it. */
export class PagingDomain implements PagingDomainOps {
  readonly kind = 'paging';
  readonly nestParent = false;
  readonly pageSizes: bigint;
  readonly geometry: Geometry;
  readonly #unit: Unit;
  readonly #table: RadixTable;
  readonly #entry: Words;
  readonly #forget: Words;

  constructor(unit: Unit) {
    const format = new TurnstileFormat();
    this.pageSizes = pageSizesOf(format);
    this.geometry = { start: 0n, last: (1n << BigInt(inputBitsOf(format))) - 1n };
    this.#unit = unit;
    this.#table = new RadixTable(format, unit.ports.memory, unit.ports.pages);
    this.#entry = DEVICE_ENTRY.encode({ MODE: MODE.TRANSLATE, ROOT: this.#table.root });
    this.#forget = INV_ROOT.encode({ OP: OP.INV_ROOT, ROOT: this.#table.root });
  }

  attach(device: DeviceHandle): void {
    this.#unit.configure(device, this.#entry);
  }

  mapPages(iova: bigint, pa: bigint, _pageSize: bigint, count: number, prot: Prot): MapResult {
    return this.#table.map(iova, pa, this.#table.format.granuleLg2, count, prot);
  }

  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint {
    return this.#table.unmap(iova, size, gather);
  }

  /** Nothing to do: the unit does not remember absent entries (manual 4). */
  syncMap(): void {}

  /** The tables go back last: until the command is done, the unit may still know leaves that were in them. */
  syncUnmap(gather: Gather): void {
    if (isEmptyGather(gather)) return;
    this.flushAll();
    for (const table of gather.freed.splice(0)) this.#unit.ports.pages.free(table);
  }

  flushAll(): void {
    this.#unit.invalidate(this.#forget);
  }

  iovaToPhys(iova: bigint): bigint | null {
    return this.#table.lookup(iova);
  }

  /** The next table may have the same root, so nothing may be remembered under it. */
  free(): void {
    this.flushAll();
    this.#table.free();
  }
}
