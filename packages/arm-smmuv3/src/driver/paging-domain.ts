import {
  type DeviceHandle,
  ensure,
  type Gather,
  type Geometry,
  type MapResult,
  type PagingDomainOps,
  type Prot,
} from '@iommukit/core';
import { pageSizesOf, RadixTable } from '@iommukit/page-table';
import { attachDomain, attachPasid } from './attach.ts';
import { pagingCd } from './cd.ts';
import { type Stage2Geometry, stage1Geometry, stage2Geometry } from './geometry.ts';
import { asMaster, type Master, type PasidDomain } from './master.ts';
import { Stage1Format, Stage2Format } from './pte-format.ts';
import type { Smmu } from './smmu.ts';
import { S1DSS, type Stage2Ref, stage1Ste, stage2Ste } from './ste.ts';

/** What a paging domain is made for. */
export interface PagingOptions {
  readonly stage: 1 | 2;
  readonly nestParent: boolean;
  /** Hardware logs writes in the table; stage 1 only. */
  readonly dirty: boolean;
}

/** An address space the host maps: a table of one stage, and the tag (ASID or VMID) its translations carry. */
export class PagingDomain implements PagingDomainOps, PasidDomain {
  readonly kind = 'paging';
  readonly stage: 1 | 2;
  readonly nestParent: boolean;
  readonly pageSizes: bigint;
  readonly geometry: Geometry;
  /** ASID at stage 1, VMID at stage 2. */
  readonly tag: number;
  readonly setDirtyTracking?: (on: boolean) => void;
  readonly readAndClearDirty?: NonNullable<PagingDomainOps['readAndClearDirty']>;
  private readonly smmu: Smmu;
  private readonly table: RadixTable;
  private readonly dirty: boolean;
  private readonly shape: Stage2Geometry | null;
  /** Attachments by device: its own requests and each PASID count one. */
  private readonly users = new Map<Master, number>();
  private coherent = false;

  /** Throws IommuError ENOSPC, ENOMEM with nothing left behind. */
  constructor(smmu: Smmu, { stage, nestParent, dirty }: PagingOptions) {
    const { features, ports } = smmu;
    const { granuleLg2, oasBits } = features;
    this.smmu = smmu;
    this.stage = stage;
    this.nestParent = nestParent;
    this.dirty = dirty;
    this.shape = stage === 2 ? stage2Geometry(granuleLg2, oasBits) : null;
    const format = this.shape
      ? new Stage2Format(this.shape, oasBits, nestParent && features.s2fwb)
      : new Stage1Format(stage1Geometry(granuleLg2, features.vaBits), oasBits, dirty);
    this.pageSizes = pageSizesOf(format);
    this.geometry = { start: 0n, last: (1n << BigInt(this.shape?.inputBits ?? features.vaBits)) - 1n };
    this.tag = this.tags().alloc();
    try {
      this.table = new RadixTable(format, ports.memory, ports.pages);
    } catch (error) {
      this.tags().free(this.tag);
      throw error;
    }
    if (!dirty) return;
    // Logging is on from the start (CD.HD); what was logged before somebody asks is cleared by the core.
    this.setDirtyTracking = () => {};
    this.readAndClearDirty = (iova, size, keep, report) => this.table.readAndClearDirty(iova, size, keep, report);
  }

  get holder(): this {
    return this;
  }

  get contexts(): 'own' | 'none' {
    return this.stage === 1 ? 'own' : 'none';
  }

  ste(master: Master): Uint32Array {
    const { features } = this.smmu;
    if (this.stage === 2) return stage2Ste(features, this.stage2Ref());
    return stage1Ste(features, master.contexts().stage(this.cd()), S1DSS.SUBSTREAM0);
  }

  cd(): Uint32Array {
    const { tag, table, smmu, geometry, dirty } = this;
    const inputBits = geometry.last.toString(2).length;
    return pagingCd(smmu.features, { asid: tag, root: table.root, inputBits, dirty });
  }

  stage2Ref(): Stage2Ref {
    return {
      vmid: this.tag,
      root: this.table.root,
      geometry: this.shape!,
      fwb: this.nestParent && this.smmu.features.s2fwb,
    };
  }

  attach(device: DeviceHandle): void {
    attachDomain(asMaster(device), this);
  }

  attachPasid(device: DeviceHandle, pasid: number): void {
    attachPasid(asMaster(device), pasid, this);
  }

  /** Throws IommuError EINVAL for a device that cannot keep what this domain promises. */
  checkDevice(master: Master): void {
    ensure(master.smmu === this.smmu, 'EINVAL', 'the device sits behind another SMMU');
    ensure(!this.coherent || master.description.coherent, 'EINVAL', 'the domain holds its devices to coherent DMA');
  }

  retain(master: Master): void {
    this.users.set(master, (this.users.get(master) ?? 0) + 1);
  }

  /** The last one out flushes: what follows on this tag must find nothing old. */
  release(master: Master): void {
    const left = this.users.get(master)! - 1;
    if (left > 0) this.users.set(master, left);
    else this.users.delete(master);
    if (this.users.size === 0) this.invalidateAll();
  }

  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number, prot: Prot): MapResult {
    return this.table.map(iova, pa, Math.log2(Number(pageSize)), count, prot);
  }

  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint {
    return this.table.unmap(iova, size, gather);
  }

  /** Entries that are absent are never cached (IHI 0070 3.17): new mappings need no invalidation. */
  syncMap(): void {}

  syncUnmap(gather: Gather): void {
    if (gather.start > gather.last) return;
    if (this.users.size > 0) this.smmu.operation(() => this.invalidate(gather));
    for (const pa of gather.freed) this.smmu.ports.pages.free(pa);
    gather.freed.length = 0;
  }

  flushAll(): void {
    if (this.users.size > 0) this.smmu.operation(() => this.invalidateAll());
  }

  iovaToPhys(iova: bigint): bigint | null {
    return this.table.lookup(iova);
  }

  enforceCacheCoherency(): boolean {
    this.coherent ||= [...this.users.keys()].every((master) => master.description.coherent);
    return this.coherent;
  }

  free(): void {
    this.table.free();
    this.tags().free(this.tag);
  }

  private tags(): { alloc(): number; free(id: number): void } {
    return this.stage === 1 ? this.smmu.asids : this.smmu.vmids;
  }

  private invalidate(gather: Gather): void {
    const { invalidator } = this.smmu;
    if (this.stage === 1) invalidator.stage1(this.tag, gather);
    else invalidator.stage2(this.tag, gather, this.nestParent);
  }

  private invalidateAll(): void {
    const { invalidator } = this.smmu;
    if (this.stage === 1) invalidator.stage1All(this.tag);
    else invalidator.stage2All(this.tag);
  }
}
