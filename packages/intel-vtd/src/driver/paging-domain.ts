import type { Words } from '@iommukit/bits';
import { ensure, type Gather, type Geometry, type MapResult, type PagingDomainOps, type Prot } from '@iommukit/core';
import { type PageTableFormat, pageSizesOf, RadixTable } from '@iommukit/page-table';
import { Attachable } from './attach.ts';
import { CacheTags } from './cache-tags.ts';
import type { VtdDevice } from './device.ts';
import { SharedDid } from './domain-ids.ts';
import type { Attachment, Translation } from './translation.ts';
import type { Unit } from './unit.ts';

/** What first-stage and second-stage domains share: a table, its attachments, and the caches to clear. */
export abstract class VtdPagingDomain<F extends PageTableFormat = PageTableFormat>
  extends Attachable
  implements PagingDomainOps, Translation
{
  readonly kind = 'paging';
  readonly pageSizes: bigint;
  readonly geometry: Geometry;
  abstract readonly nestParent: boolean;
  abstract readonly pgtt: number;
  readonly unit: Unit;
  readonly tags: CacheTags;
  protected readonly translation: Translation = this;
  protected readonly format: F;
  protected readonly table: RadixTable;
  /** Entries that point at this table. */
  protected readonly attachments = new Set<Attachment>();
  readonly #did: SharedDid;

  /** `width`: input addresses are below 2^width. Throws ENOMEM. */
  constructor(unit: Unit, format: F, width: number) {
    super();
    this.unit = unit;
    this.format = format;
    this.geometry = { start: 0n, last: (1n << BigInt(width)) - 1n };
    this.pageSizes = pageSizesOf(format);
    this.tags = new CacheTags(unit.invalidations, unit.features);
    this.#did = new SharedDid(unit.domainIds);
    this.table = new RadixTable(format, unit.ports.memory, unit.ports.pages);
  }

  abstract contextEntry(did: number, device: VtdDevice): Words;
  abstract pasidEntry(did: number, device: VtdDevice): Words;
  /** New mappings need an invalidation or a write-buffer flush before the unit is sure to see them. */
  abstract syncMap(iova: bigint, size: bigint): void;
  abstract enforceCacheCoherency(): boolean;

  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number, prot: Prot): MapResult {
    return this.table.map(iova, pa, 31 - Math.clz32(Number(pageSize)), count, prot);
  }

  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint {
    return this.table.unmap(iova, size, gather);
  }

  /** Table pages go back only when the unit has confirmed that it walks them no more. */
  syncUnmap(gather: Gather): void {
    const { freed } = gather;
    if (gather.start > gather.last) return;
    const { gate, ports } = this.unit;
    gate.enter();
    try {
      this.tags.flush(gather.start, gather.last, freed.length === 0);
      for (const page of freed) ports.pages.free(page);
    } catch (error) {
      this.unit.quarantine(freed);
      throw error;
    } finally {
      freed.length = 0;
      gate.leave();
    }
  }

  flushAll(): void {
    this.unit.gate.run(() => this.tags.flushAll());
  }

  iovaToPhys(iova: bigint): bigint | null {
    return this.table.lookup(iova);
  }

  free(): void {
    this.table.free();
  }

  /** One unit made the table for itself; another one's tables may have other depths, sizes or ids. */
  check(device: VtdDevice, _pasid: number): void {
    ensure(device.unit === this.unit, 'EINVAL', 'the device sits behind another unit');
  }

  acquireDid(): number {
    return this.#did.acquire();
  }

  releaseDid(): void {
    this.#did.release();
  }

  attached(attachment: Attachment): void {
    const { did, pasid, device } = attachment;
    this.attachments.add(attachment);
    this.tags.addIotlb(did, this.tagPasid(pasid));
    if (device.deviceTlb) this.tags.addDevice(device.sid, pasid, false);
  }

  detached(attachment: Attachment): void {
    const { did, pasid, device } = attachment;
    this.attachments.delete(attachment);
    this.tags.removeIotlb(did, this.tagPasid(pasid));
    if (device.deviceTlb) this.tags.removeDevice(device.sid, pasid, false);
  }

  /** -1 where the domain-id alone finds the translations. */
  protected abstract tagPasid(pasid: number): number;
}
