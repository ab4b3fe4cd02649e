import {
  ALLOC,
  type DeviceHandle,
  ensure,
  type Gather,
  type Geometry,
  isEmptyGather,
  type MapResult,
  type PagingDomainOps,
  type Prot,
} from '@iommukit/core';
import { inputBitsOf, pageSizesOf, RadixTable } from '@iommukit/page-table';
import { MODE } from '../format/context.ts';
import { Context } from './context.ts';
import type { ToyDevice } from './device-table.ts';
import { ToyPteFormat } from './pte-format.ts';
import type { ToyUnit } from './unit.ts';

/** A host table, its context and its tag. */
export class ToyPagingDomain implements PagingDomainOps {
  readonly kind = 'paging';
  readonly pageSizes: bigint;
  readonly geometry: Geometry;
  readonly nestParent: boolean;
  readonly tag: number;
  readonly table: RadixTable;
  readonly unit: ToyUnit;
  readonly #context: Context;
  /** Attached devices, once for every slot. */
  readonly #devices: ToyDevice[] = [];
  #snoop = false;
  setDirtyTracking?: (on: boolean) => void;
  readAndClearDirty?: NonNullable<PagingDomainOps['readAndClearDirty']>;

  /** ENOMEM, ENOSPC; nothing is left behind. */
  constructor(unit: ToyUnit, flags: number) {
    const { memory, pages } = unit.ports;
    const format = new ToyPteFormat(unit.features);
    this.unit = unit;
    this.nestParent = (flags & ALLOC.NEST_PARENT) !== 0;
    this.pageSizes = pageSizesOf(format);
    this.geometry = { start: 0n, last: (1n << BigInt(inputBitsOf(format))) - 1n };
    this.tag = unit.tags.take();
    const undo = [() => unit.tags.give(this.tag)];
    try {
      this.table = new RadixTable(format, memory, pages);
      undo.push(() => this.table.free());
      this.#context = new Context(memory, pages, { MODE: MODE.TRANSLATE, TAG: this.tag, ROOT: this.table.root });
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
    if ((flags & ALLOC.DIRTY_TRACKING) !== 0) this.#trackDirty();
  }

  attach(device: DeviceHandle): void {
    this.attachPasid(device, 0);
  }

  /** EINVAL: a device of another unit; the domain holds DMA to coherency and the device cannot be held. */
  attachPasid(device: DeviceHandle, pasid: number): void {
    ensure((device as ToyDevice).table === this.unit.devices, 'EINVAL', 'the device sits behind another unit');
    ensure(!this.#snoop || device.description.coherent, 'EINVAL', 'the device is not cache-coherent');
    this.unit.gate.run(() => {
      this.unit.devices.setSlot(device as ToyDevice, pasid, this.#context.pa);
      this.#devices.push(device as ToyDevice);
    });
  }

  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number, prot: Prot): MapResult {
    return this.table.map(iova, pa, pageSize.toString(2).length - 1, count, prot);
  }

  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint {
    return this.table.unmap(iova, size, gather);
  }

  /** The unit remembers no absence. */
  syncMap(): void {}

  syncUnmap(gather: Gather): void {
    if (isEmptyGather(gather)) return;
    const { commands, gate, ports } = this.unit;
    gate.run(() => {
      commands.invalidateRange(this.tag, gather.start, gather.last);
      for (const pa of gather.freed.splice(0)) ports.pages.free(pa);
    });
  }

  flushAll(): void {
    this.unit.gate.run(() => this.unit.commands.invalidateTag(this.tag));
  }

  iovaToPhys(iova: bigint): bigint | null {
    return this.table.lookup(iova);
  }

  enforceCacheCoherency(): boolean {
    const able = this.unit.features.capabilities.has('enforce-cache-coherency');
    if (!able || this.#devices.some(({ description }) => !description.coherent)) return false;
    this.#snoop = true;
    this.#update({ SNOOP: true });
    return true;
  }

  /** The tag's next holder must find nothing of this one. */
  free(): void {
    this.unit.gate.run(() => {
      this.flushAll();
      this.#context.free();
      this.table.free();
      this.unit.tags.give(this.tag);
    });
  }

  #update(flags: Parameters<Context['update']>[0]): void {
    this.unit.gate.run(() => {
      this.#context.update(flags);
      this.flushAll();
    });
  }

  #trackDirty(): void {
    this.setDirtyTracking = (on) => this.#update({ DIRTY: on });
    this.readAndClearDirty = (iova, size, keep, report) => this.table.readAndClearDirty(iova, size, keep, report);
  }
}
