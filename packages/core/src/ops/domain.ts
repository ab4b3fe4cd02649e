import type { DeviceHandle } from './driver.ts';
import type { Gather, Geometry, InvalidationResult, NativeData, NativeInvalidation, Prot } from './types.ts';

/** What every domain does. `old` is what the device (or PASID) has now; the core keeps track. */
export interface AttachOps {
  /**
   * Points the device's own requests at this domain, whatever they point at now. EINVAL = this domain does not fit
   * this device, another might (quiet, nothing changed), as a paging domain never fits a device of another unit; ENOMEM,
   * ENOSPC, EBUSY; ETIMEDOUT. On any error the old domain stays in force: what was written is put back, and a unit that
   * answers late ends there.
   */
  attach(device: DeviceHandle, old: DomainOps): void;
  /** The same for one PASID (≥ 1). Absent: EOPNOTSUPP. The blocked domain's must not fail. */
  attachPasid?(device: DeviceHandle, pasid: number, old: DomainOps): void;
  /** Gives tables and tags back. Nothing is attached. */
  free(): void;
}

export interface StaticDomainOps extends AttachOps {
  readonly kind: 'identity' | 'blocked';
}

export interface PagingDomainOps extends AttachOps {
  readonly kind: 'paging';
  /** Bit n set: pages of 2^n bytes. */
  readonly pageSizes: bigint;
  readonly geometry: Geometry;
  readonly nestParent: boolean;

  /**
   * Maps `count` pages of `pageSize` (one of {@link pageSizes}) from `iova` to `pa`. Returns how many were mapped;
   * fewer than `count` only with `error` set (EEXIST over a mapping, ENOMEM, ERANGE for a PA too wide, EINVAL for a
   * protection the format cannot hold). The core unmaps what was done.
   */
  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number, prot: Prot): MapResult;
  /** Removes mapped pages in `[iova, iova + size)` and returns the bytes removed from `iova` on, stopping at the first
   *  hole; a start or end inside a larger page stops before it. Allocates nothing; cannot fail. Records into `gather`. */
  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint;
  /** Makes new mappings visible where the hardware may remember their absence. */
  syncMap(iova: bigint, size: bigint): void;
  /** Invalidates what `gather` holds, waits, and frees its table pages. ETIMEDOUT when the unit does not answer. */
  syncUnmap(gather: Gather): void;
  /** Invalidates everything of this domain and waits. */
  flushAll(): void;
  /** Physical address, or null where nothing is mapped. Answered from the table, without the hardware. */
  iovaToPhys(iova: bigint): bigint | null;

  /** Latches cache-coherent DMA for the domain's life; false when some attached device cannot. Absent: never. */
  enforceCacheCoherency?(): boolean;
  /** Turns write logging on or off for every attached device. Absent: the domain has no dirty tracking. */
  setDirtyTracking?(on: boolean): void;
  /** Calls `report(iova, size)` for every leaf written since the last clear; clears unless `keep`. */
  readAndClearDirty?(iova: bigint, size: bigint, keep: boolean, report: (iova: bigint, size: bigint) => void): void;
}

export interface MapResult {
  readonly mapped: number;
  readonly error: Error | null;
}

export interface NestedDomainOps extends AttachOps {
  readonly kind: 'nested';
  /** Native invalidation aimed at this domain. Absent: goes through the vIOMMU (EOPNOTSUPP here). */
  invalidate?(request: NativeInvalidation): InvalidationResult;
}

export interface ViommuOps {
  /** A nested domain from the guest's own table entry. EINVAL, EIO as the vendor's data says, EOPNOTSUPP for flags. */
  allocNested(device: DeviceHandle, flags: number, data: NativeData): NestedDomainOps;
  /** Binds the guest's id for a device. EINVAL: device of another unit; EEXIST: id taken; EOPNOTSUPP. */
  setVirtualId(device: DeviceHandle, virtualId: bigint): void;
  clearVirtualId(device: DeviceHandle): void;
  /** Native commands as the guest wrote them. */
  invalidate(request: NativeInvalidation): InvalidationResult;
  free(): void;

  /** Events of the guest's devices in the vendor's format; one listener. It throws EOPNOTSUPP where nobody asked for
   *  events of that type, EINVAL for an empty payload. */
  onEvent?(listener: ((type: number, payload: Uint8Array) => void) | null): void;
  /** Memory of the unit that a VMM maps into its guest. */
  readonly regions?: readonly ExportedRegion[];
  /** What the VMM is told about the new vIOMMU; `offsets` are what names the {@link regions}, in order. Written over the
   *  data it passed, as far as that is long. */
  reply?(offsets: readonly bigint[]): Uint8Array;
  /** Whether hardware queues of a type exist. Goes with {@link createQueue}. */
  supportsQueue?(type: number): boolean;
  /** Lets hardware read a queue in guest memory by itself; the memory is pinned while the queue lives. EINVAL: index out
   *  of range, bad length; EEXIST: index in use; EIO: a queue it builds on is missing. */
  createQueue?(type: number, index: number, memory: QueueMemory): HwQueueOps;
}

/** Whole pages of a unit. */
export interface ExportedRegion {
  /** Physical address. */
  readonly address: bigint;
  /** The live contents. */
  readonly bytes: Uint8Array;
}

export interface QueueMemory {
  /** In the nesting parent's address space. */
  readonly iova: bigint;
  readonly pa: bigint;
  readonly length: bigint;
}

export interface HwQueueOps {
  /** A queue of the same vIOMMU and type that must outlive this one. */
  readonly dependsOn?: HwQueueOps | null;
  free(): void;
}

export type DomainOps = StaticDomainOps | PagingDomainOps | NestedDomainOps;
