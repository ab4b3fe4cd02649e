import {
  ALLOC,
  type DeviceDescription,
  type DeviceHandle,
  ensure,
  type Gather,
  type HwQueueOps,
  type InvalidationResult,
  type IommuDriver,
  IommuError,
  type NativeData,
  type NativeInvalidation,
  type NestedDomainOps,
  type PageRequestSink,
  type PageResponse,
  type PagingDomainOps,
  type QueueMemory,
  type ReservedRegion,
  type StaticDomainOps,
  type ViommuOps,
} from '@iommukit/core';

export const FAKE = {
  HW_INFO: 0xfee1,
  HWPT_DATA: 0xfee2,
  INVALIDATE: 0xfee3,
  VIOMMU: 0xfee4,
  EVENT: 0xfee5,
  QUEUE: 0xfee6,
  QUEUES: 2,
} as const;

export interface FakeOptions {
  readonly pageSizes?: bigint;
  readonly geometry?: { start: bigint; last: bigint };
  readonly dirty?: boolean;
  readonly maxPasids?: number;
  readonly plain?: boolean;
  readonly reserved?: readonly ReservedRegion[];
  readonly nestedOnParent?: boolean;
  readonly viommu?: boolean;
  readonly hwInfo?: Uint8Array | null;
  readonly coherent?: boolean;
}

/** An IOMMU without hardware: tables are maps, and every use is counted. */
export class FakeDriver implements IommuDriver {
  readonly vendor = 'fake';
  readonly capabilities = new Set<never>();
  readonly identity = staticOps('identity');
  readonly blocked = staticOps('blocked');
  readonly options: FakeOptions;
  readonly plainPagingOnly: boolean;
  /** Domains, vIOMMUs and queues that were not freed. */
  live = 0;
  sink: PageRequestSink | null = null;
  readonly responses: PageResponse[] = [];
  readonly attachErrors: IommuError[] = [];
  readonly domains: FakePaging[] = [];
  lastViommu: FakeViommu | null = null;
  allocNested?: NonNullable<IommuDriver['allocNested']>;
  allocViommu?: NonNullable<IommuDriver['allocViommu']>;

  constructor(options: FakeOptions = {}) {
    this.options = options;
    this.plainPagingOnly = options.plain ?? false;
    if (options.nestedOnParent !== false)
      this.allocNested = (_device, _parent, flags, data) => this.#nested(flags, data, true);
    if (options.viommu !== false) {
      this.allocViommu = (_device, _parent, _type, data) => {
        this.lastViommu = new FakeViommu(this, data);
        return this.lastViommu;
      };
    }
  }

  probe(): void {}
  release(): void {}
  probeDevice(description: DeviceDescription): DeviceHandle {
    return { description, maxPasids: this.options.maxPasids ?? 0 };
  }
  releaseDevice(): void {}
  capable(_device: DeviceHandle, capability: string): boolean {
    if (capability === 'cache-coherency') return true;
    if (capability === 'enforce-cache-coherency') return this.options.coherent ?? false;
    return capability === 'dirty-tracking' && this.options.dirty === true;
  }
  hwInfo(_device: DeviceHandle, type: number): NativeData | null {
    const { hwInfo = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) } = this.options;
    if (hwInfo === null) return null;
    ensure(type === 0 || type === FAKE.HW_INFO, 'EOPNOTSUPP', 'no such type');
    return { type: FAKE.HW_INFO, bytes: hwInfo };
  }
  reservedRegions(): readonly ReservedRegion[] {
    return this.options.reserved ?? [];
  }
  allocPaging(_device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    ensure(data === null, 'EOPNOTSUPP', 'no data');
    const domain = new FakePaging(this, flags);
    this.domains.push(domain);
    return domain;
  }
  supportsViommu(_device: DeviceHandle, type: number): boolean {
    return type === FAKE.VIOMMU;
  }
  onPageRequest(sink: PageRequestSink | null): void {
    this.sink = sink;
  }
  respond(_device: DeviceHandle, response: PageResponse): void {
    this.responses.push(response);
  }
  onFault(): void {}

  #nested(flags: number, data: NativeData, own: boolean): NestedDomainOps {
    return makeNested(this, flags, data, own);
  }
}

function makeNested(driver: FakeDriver, _flags: number, data: NativeData, own: boolean): NestedDomainOps {
  ensure(data.type === FAKE.HWPT_DATA, 'EINVAL', 'foreign data');
  ensure(data.bytes.length === 8, 'EINVAL', 'foreign length');
  driver.live++;
  const nested: NestedDomainOps = {
    kind: 'nested',
    attach: () => failIfAsked(driver),
    attachPasid: () => {},
    free: () => void driver.live--,
  };
  return own ? { ...nested, invalidate } : nested;
}

/** Entries are 4 bytes; one whose first byte is 0xff is bad. */
function invalidate({ type, entryLength, entryCount, bytes }: NativeInvalidation): InvalidationResult {
  if (type !== FAKE.INVALIDATE) return { done: 0, error: new IommuError('EINVAL', 'foreign type') };
  for (let i = 0; i < entryCount; i++) {
    if (bytes[i * entryLength] === 0xff) return { done: i, error: new IommuError('EIO', 'bad entry') };
  }
  return { done: entryCount, error: null };
}

const failIfAsked = (driver: FakeDriver): void => {
  const error = driver.attachErrors.shift();
  if (error) throw error;
};

function staticOps(kind: 'identity' | 'blocked'): StaticDomainOps {
  return { kind, attach: () => {}, attachPasid: () => {}, free: () => {} };
}

/** Leaves by iova, whatever their size. */
export class FakePaging implements PagingDomainOps {
  readonly kind = 'paging';
  readonly pageSizes: bigint;
  readonly geometry: { start: bigint; last: bigint };
  readonly nestParent: boolean;
  readonly leaves = new Map<bigint, { pa: bigint; size: bigint; dirty: boolean }>();
  readonly driver: FakeDriver;
  syncs = 0;
  setDirtyTracking?: (on: boolean) => void;
  readAndClearDirty?: NonNullable<PagingDomainOps['readAndClearDirty']>;

  constructor(driver: FakeDriver, flags: number) {
    this.driver = driver;
    this.pageSizes = driver.options.pageSizes ?? (1n << 12n) | (1n << 21n) | (1n << 30n);
    this.geometry = driver.options.geometry ?? { start: 0n, last: (1n << 48n) - 1n };
    this.nestParent = (flags & ALLOC.NEST_PARENT) !== 0;
    driver.live++;
    if ((flags & ALLOC.DIRTY_TRACKING) === 0) return;
    this.setDirtyTracking = () => {};
    this.readAndClearDirty = (iova, size, keep, report) => this.#dirty(iova, size, keep, report);
  }

  attach(): void {
    failIfAsked(this.driver);
  }
  attachPasid(): void {
    failIfAsked(this.driver);
  }
  free(): void {
    this.driver.live--;
    if (this.leaves.size > 0) throw new Error(`${this.leaves.size} leaves are left`);
  }
  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number) {
    for (let i = 0; i < count; i++) {
      const at = iova + BigInt(i) * pageSize;
      if (this.leaves.has(at)) return { mapped: i, error: new IommuError('EEXIST', 'mapped') };
      this.leaves.set(at, { pa: pa + BigInt(i) * pageSize, size: pageSize, dirty: false });
    }
    return { mapped: count, error: null };
  }
  unmapPages(iova: bigint, size: bigint, _gather: Gather): bigint {
    let at = iova;
    while (at < iova + size) {
      const leaf = this.leaves.get(at);
      if (!leaf || at + leaf.size > iova + size) break;
      this.leaves.delete(at);
      at += leaf.size;
    }
    return at - iova;
  }
  syncMap(): void {}
  syncUnmap(): void {
    this.syncs++;
  }
  flushAll(): void {
    this.syncs++;
  }
  iovaToPhys(iova: bigint): bigint | null {
    for (const [at, { pa, size }] of this.leaves) if (at <= iova && iova < at + size) return pa + iova - at;
    return null;
  }
  enforceCacheCoherency(): boolean {
    return this.driver.options.coherent ?? false;
  }
  #dirty(iova: bigint, size: bigint, keep: boolean, report: (iova: bigint, size: bigint) => void): void {
    for (const [at, leaf] of this.leaves) {
      if (!leaf.dirty || at + leaf.size <= iova || at >= iova + size) continue;
      if (!keep) leaf.dirty = false;
      report(at, leaf.size);
    }
  }
}

/** Data: none, or 24 bytes: 0 in, 8 out offset of its region, 16 out length. */
export class FakeViommu implements ViommuOps {
  readonly driver: FakeDriver;
  readonly regions: readonly { address: bigint; bytes: Uint8Array }[];
  readonly queues = new Map<number, HwQueueOps>();
  memory: QueueMemory | null = null;
  listener: ((type: number, payload: Uint8Array) => void) | null = null;
  readonly #data: Uint8Array;

  constructor(driver: FakeDriver, data: NativeData | null) {
    this.driver = driver;
    ensure(data === null || data.bytes.length === 24, 'EINVAL', 'foreign length');
    this.#data = data?.bytes.slice() ?? new Uint8Array();
    this.regions = data ? [{ address: 0x1_0000n, bytes: new Uint8Array(8192).fill(0x5a) }] : [];
    driver.live++;
  }
  allocNested(_device: DeviceHandle, flags: number, data: NativeData): NestedDomainOps {
    return makeNested(this.driver, flags, data, false);
  }
  setVirtualId(_device: DeviceHandle, virtualId: bigint): void {
    ensure(virtualId !== 0xbadn, 'EIO', 'no such stream');
  }
  clearVirtualId(): void {}
  invalidate(request: NativeInvalidation): InvalidationResult {
    return invalidate(request);
  }
  onEvent(listener: ((type: number, payload: Uint8Array) => void) | null): void {
    this.listener = listener;
  }
  reply(offsets: readonly bigint[]): Uint8Array {
    const bytes = this.#data.slice();
    if (bytes.length === 0) return bytes;
    const view = new DataView(bytes.buffer);
    view.setBigUint64(8, offsets[0]!, true);
    view.setBigUint64(16, 8192n, true);
    return bytes;
  }
  supportsQueue(type: number): boolean {
    return type === FAKE.QUEUE;
  }
  createQueue(_type: number, index: number, memory: QueueMemory): HwQueueOps {
    ensure(index < FAKE.QUEUES, 'EINVAL', 'no such queue');
    ensure(!this.queues.has(index), 'EEXIST', 'in use');
    const base = index > 0 ? this.queues.get(index - 1) : null;
    ensure(base !== undefined, 'EIO', 'the queue before is missing');
    this.memory = memory;
    this.driver.live++;
    const ops: HwQueueOps = {
      dependsOn: base,
      free: () => {
        this.driver.live--;
        this.queues.delete(index);
      },
    };
    this.queues.set(index, ops);
    return ops;
  }
  free(): void {
    this.driver.live--;
  }
}
