import { ensure, IommuError } from '../error/errno.ts';
import { newGather } from '../mapping/gather.ts';
import { lowestBit, nextStep } from '../mapping/page-size.ts';
import type { PagingDomainOps } from '../ops/domain.ts';
import type { IommuDriver } from '../ops/driver.ts';
import { type NativeData, PROT, type Prot } from '../ops/types.ts';
import { Domain, NestedDomain, ownHandle } from './domain.ts';
import { Viommu } from './viommu.ts';

type OwnedDevice = Parameters<typeof ownHandle>[1];

/** A domain the host maps. All sizes in bytes; ranges are half-open `[iova, iova + size)`. */
export class PagingDomain extends Domain<PagingDomainOps> {
  readonly flags: number;
  /** Smallest page: every address and size is a multiple of it. */
  readonly granule: bigint;
  #coherent = false;
  #dirty = false;

  constructor(owner: IommuDriver, ops: PagingDomainOps, flags: number) {
    super(owner, ops);
    this.flags = flags;
    this.granule = lowestBit(ops.pageSizes);
  }

  /**
   * Maps `size` bytes at `iova` to `pa`. EINVAL: misaligned, empty, or neither READ nor WRITE; ERANGE: outside the
   * domain's geometry, or `pa` too wide; EEXIST: something is mapped there; ENOMEM. A failed call leaves nothing mapped.
   */
  map(iova: bigint, pa: bigint, size: bigint, prot: Prot): void {
    this.#checkMap(iova, pa, size, prot);
    const error = this.#mapSteps(iova, pa, size, prot);
    if (error) throw error;
    this.ops.syncMap(iova, size);
  }

  /**
   * Removes mappings from `iova` on, up to the first hole, and invalidates them. Returns the bytes removed: 0 when
   * nothing is mapped at `iova` or a request is misaligned. A larger page that sticks out on either side stays.
   */
  unmap(iova: bigint, size: bigint): bigint {
    if (((iova | size) & (this.granule - 1n)) !== 0n || iova < 0n || size <= 0n) return 0n;
    const { last } = this.ops.geometry;
    if (iova > last) return 0n;
    const room = last - iova + 1n;
    const gather = newGather();
    const removed = this.ops.unmapPages(iova, size < room ? size : room, gather);
    this.ops.syncUnmap(gather);
    return removed;
  }

  /** Physical address of `iova`, byte offset included; null where nothing is mapped. */
  iovaToPhys(iova: bigint): bigint | null {
    const { start, last } = this.ops.geometry;
    return iova < start || iova > last ? null : this.ops.iovaToPhys(iova);
  }

  /** Invalidates everything the hardware may remember of this domain. */
  flush(): void {
    this.ops.flushAll();
  }

  get enforcesCacheCoherency(): boolean {
    return this.#coherent;
  }

  /** Asks for cache-coherent DMA. True: holds for the domain's life. False: some attached device, or the unit, cannot. */
  enforceCacheCoherency(): boolean {
    this.#coherent ||= this.ops.enforceCacheCoherency?.() ?? false;
    return this.#coherent;
  }

  get tracksDirty(): boolean {
    return this.#dirty;
  }

  /** EOPNOTSUPP unless the domain was made with DIRTY_TRACKING. Turning it on starts from a clean slate. */
  setDirtyTracking(on: boolean): void {
    const { ops } = this;
    ensure(ops.setDirtyTracking !== undefined, 'EOPNOTSUPP', 'the domain does not track dirty pages');
    if (on && !this.#dirty) this.#clearDirty();
    ops.setDirtyTracking(on);
    this.#dirty = on;
  }

  /** Leaves written in `[iova, iova + size)` since the last clear; clears them and invalidates, unless `keep`. */
  readDirty(iova: bigint, size: bigint, keep = false): { iova: bigint; size: bigint }[] {
    const dirty: { iova: bigint; size: bigint }[] = [];
    this.eachDirty(iova, size, keep, (at, length) => dirty.push({ iova: at, size: length }));
    return dirty;
  }

  /** The same without a list: calls `report` for each leaf, ascending. */
  eachDirty(iova: bigint, size: bigint, keep: boolean, report: (iova: bigint, size: bigint) => void): void {
    const { ops } = this;
    ensure(ops.readAndClearDirty !== undefined, 'EOPNOTSUPP', 'the domain does not track dirty pages');
    let any = false;
    ops.readAndClearDirty(iova, size, keep, (at, length) => {
      any = true;
      report(at, length);
    });
    if (!keep && any) ops.flushAll();
  }

  /**
   * A nested domain directly on this parent. EOPNOTSUPP: the vendor nests through a vIOMMU or not at all;
   * EINVAL: not a nesting parent, or a device of another unit; else as the vendor's data says.
   */
  allocNested(device: OwnedDevice, data: NativeData, flags = 0): NestedDomain {
    const { owner } = this;
    ensure(owner.allocNested !== undefined, 'EOPNOTSUPP', 'this vendor makes no nested domain on a parent');
    ensure(this.ops.nestParent, 'EINVAL', 'the domain is not a nesting parent');
    const ops = owner.allocNested(ownHandle(owner, device), this.ops, flags, data);
    return new NestedDomain(owner, ops, this, null);
  }

  /** A vIOMMU on this parent. EOPNOTSUPP: no such type; EINVAL: not a nesting parent, or a device of another unit. */
  allocViommu(device: OwnedDevice, type: number, data: NativeData | null = null): Viommu {
    const { owner } = this;
    ensure(type !== 0 && owner.allocViommu !== undefined, 'EOPNOTSUPP', `no vIOMMU of type ${type} here`);
    ensure(this.ops.nestParent, 'EINVAL', 'the domain is not a nesting parent');
    return new Viommu(owner, owner.allocViommu(ownHandle(owner, device), this.ops, type, data), this);
  }

  #checkMap(iova: bigint, pa: bigint, size: bigint, prot: Prot): void {
    ensure(size > 0n, 'EINVAL', 'a mapping has at least one page');
    ensure((prot & (PROT.READ | PROT.WRITE)) !== 0, 'EINVAL', 'a mapping is readable or writable');
    const aligned = ((iova | pa | size) & (this.granule - 1n)) === 0n && iova >= 0n && pa >= 0n;
    ensure(aligned, 'EINVAL', `iova, pa and size are multiples of ${this.granule}`);
    const { start, last } = this.ops.geometry;
    const fits = iova >= start && iova <= last && size - 1n <= last - iova;
    ensure(fits, 'ERANGE', `[0x${iova.toString(16)}, +0x${size.toString(16)}) lies outside the domain`);
  }

  #mapSteps(iova: bigint, pa: bigint, size: bigint, prot: Prot): Error | null {
    let done = 0n;
    while (done < size) {
      const { pageSize, count } = nextStep(this.ops.pageSizes, iova + done, pa + done, size - done);
      const { mapped, error } = this.ops.mapPages(iova + done, pa + done, pageSize, count, prot);
      done += pageSize * BigInt(mapped);
      if (error || mapped < count) {
        if (done > 0n) this.unmap(iova, done);
        return error ?? new IommuError('ENOMEM', 'the driver stopped without a reason');
      }
    }
    return null;
  }

  #clearDirty(): void {
    const { start, last } = this.ops.geometry;
    this.ops.readAndClearDirty?.(start, last - start + 1n, false, () => {});
    this.ops.flushAll();
  }
}
