import { ALLOC, type DeviceHandle, ensure, type Gather, type NativeData, type PagingDomainOps } from '@iommukit/core';
import { HWPT_SELFTEST, MOCK_APERTURE, MOCK_HUGE_PAGE_SIZE, MOCK_PAGE_SIZE, MOCK_TYPE, PAGE_TABLE } from './abi.ts';
import type { MockDevice, MockTarget } from './device.ts';
import type { MockLive } from './live.ts';
import { MockTable } from './table.ts';
import { dataStruct } from './user-data.ts';

const KNOWN_FLAGS = ALLOC.NEST_PARENT | ALLOC.DIRTY_TRACKING | ALLOC.PASID;
const HOST_PAGE = 4096n;
/** Three levels of 2 KiB pages. */
const HUGE_LAST = (1n << 38n) - 1n;

/** A paging domain over a {@link MockTable}. */
export class MockPagingDomain implements PagingDomainOps, MockTarget {
  readonly kind = 'paging';
  readonly pageSizes: bigint;
  readonly geometry: { readonly start: bigint; readonly last: bigint };
  readonly nestParent: boolean;
  readonly logsWrites: boolean;
  readonly viommu = null;
  readonly table: MockTable;
  setDirtyTracking?: NonNullable<PagingDomainOps['setDirtyTracking']>;
  readAndClearDirty?: NonNullable<PagingDomainOps['readAndClearDirty']>;
  readonly #live: MockLive;

  private constructor(flags: number, huge: boolean, live: MockLive) {
    const granule = huge ? HOST_PAGE : MOCK_PAGE_SIZE;
    this.pageSizes = huge ? HOST_PAGE | MOCK_HUGE_PAGE_SIZE : MOCK_PAGE_SIZE;
    this.geometry = huge ? { start: 0n, last: HUGE_LAST } : MOCK_APERTURE;
    this.nestParent = (flags & ALLOC.NEST_PARENT) !== 0;
    this.logsWrites = (flags & ALLOC.DIRTY_TRACKING) !== 0;
    this.table = new MockTable(granule);
    this.#live = live;
    live.domains++;
    if (!this.logsWrites) return;
    this.setDirtyTracking = () => {};
    this.readAndClearDirty = (iova, size, keep, report) => this.table.eachDirty(iova, size, keep, report);
  }

  /** EOPNOTSUPP: unknown flag, dirty tracking for a device without it, foreign data, unknown table type; EINVAL: data of
   *  another length. */
  static create(device: MockDevice, flags: number, data: NativeData | null, live: MockLive): MockPagingDomain {
    const dirty = (flags & ALLOC.DIRTY_TRACKING) !== 0;
    ensure((flags & ~KNOWN_FLAGS) === 0 && !(dirty && device.noDirty), 'EOPNOTSUPP', `flags ${flags}`);
    const type = data ? tableType(data) : PAGE_TABLE.DEFAULT;
    const known = type === PAGE_TABLE.DEFAULT || type === PAGE_TABLE.HUGE;
    ensure(known, 'EOPNOTSUPP', `no page table of type ${type}`);
    return new MockPagingDomain(flags, type === PAGE_TABLE.HUGE, live);
  }

  attach(device: DeviceHandle): void {
    (device as MockDevice).attach(this);
  }

  attachPasid(device: DeviceHandle, pasid: number): void {
    (device as MockDevice).attachPasid(pasid, this);
  }

  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number) {
    return this.table.map(iova, pa, pageSize, count);
  }

  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint {
    return this.table.unmap(iova, size, gather);
  }

  /** There is nothing that remembers anything. */
  syncMap(): void {}
  syncUnmap(): void {}
  flushAll(): void {}

  iovaToPhys(iova: bigint): bigint | null {
    return this.table.lookup(iova);
  }

  free(): void {
    this.#live.domains--;
    this.#live.blocksLeft += this.table.blocks;
  }
}

function tableType(data: NativeData): number {
  ensure(data.type === MOCK_TYPE.HWPT_DATA, 'EOPNOTSUPP', `no data of type ${data.type}`);
  return dataStruct(HWPT_SELFTEST, data, 'iotlb').pagetable_type;
}
