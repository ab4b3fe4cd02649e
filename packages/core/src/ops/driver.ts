import type { FaultRecord } from '../fault/record.ts';
import type { DeviceDescription } from '../ports/discovery.ts';
import type { Capability, DeviceCapability } from './capability.ts';
import type { NestedDomainOps, PagingDomainOps, StaticDomainOps, ViommuOps } from './domain.ts';
import type { PageRequest, PageResponse } from './page-request.ts';
import type { NativeData, ReservedRegion } from './types.ts';

/** A device as its driver knows it after {@link IommuDriver.probeDevice}. Opaque to the core. */
export interface DeviceHandle {
  readonly description: DeviceDescription;
  /** Number of PASIDs usable here (device and unit together); 0 = none. */
  readonly maxPasids: number;
}

/** Where a driver hands page requests to, one record at a time, in the unit's order. */
export interface PageRequestSink {
  /** False: nobody handles it; it was answered INVALID through {@link IommuDriver.respond}. */
  report(device: DeviceHandle, request: PageRequest): boolean;
  /** The unit's queue overflowed: requests of unfinished groups are forgotten. */
  discardPartial(device: DeviceHandle): void;
}

/**
 * The driver half of one unit: what a vendor implements. Arguments arrive validated by the core (device known to this
 * driver, addresses aligned and inside the geometry, flags known); the errors named here are the vendor's own.
 *
 * Every operation is synchronous: a driver rings a doorbell and polls, bounded; a queue that never answers is ETIMEDOUT.
 */
export interface IommuDriver {
  /** Vendor id, the same as its plugin's. */
  readonly vendor: string;
  /** Read from the hardware by {@link probe}; empty before. */
  readonly capabilities: ReadonlySet<Capability>;
  /** Static domains; always there. */
  readonly identity: StaticDomainOps;
  readonly blocked: StaticDomainOps;

  /** Finds out what the hardware is and brings it up, DMA of every device refused or as the architecture forces it. A unit
   *  that somebody left running (firmware, a kernel before this one) is taken over: when this returns all DMA is refused.
   *  Throws ENODEV (not mine, or unusable), ETIMEDOUT. */
  probe(): void;
  /** Takes the unit down: translation off, memory given back. Every device was released before. */
  release(): void;

  /** Admits a device; it stays blocked. Throws ENODEV when the unit does not serve it, EINVAL for impossible ids. */
  probeDevice(description: DeviceDescription): DeviceHandle;
  /** The device is blocked already. */
  releaseDevice(device: DeviceHandle): void;

  capable(device: DeviceHandle, capability: DeviceCapability): boolean;
  /** Native identification registers; null = type NONE. `type` 0 asks for the default; another unknown one: EOPNOTSUPP. */
  hwInfo(device: DeviceHandle, type: number): NativeData | null;
  /** The device's regions as the vendor knows them, in no particular order. */
  reservedRegions(device: DeviceHandle): readonly ReservedRegion[];

  /** A paging domain for this device. `flags` are ALLOC bits. Throws EOPNOTSUPP for a flag or user data this unit
   *  does not implement, ENOMEM, ENOSPC (no tag left). Nothing is left behind on failure. */
  allocPaging(device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps;
  /** A nested domain directly on a parent of this driver that has NEST_PARENT. Absent: EOPNOTSUPP. */
  allocNested?(device: DeviceHandle, parent: PagingDomainOps, flags: number, data: NativeData): NestedDomainOps;
  /** A virtual IOMMU on a nesting parent. Absent, or unknown type: EOPNOTSUPP. */
  allocViommu?(device: DeviceHandle, parent: PagingDomainOps, type: number, data: NativeData | null): ViommuOps;

  /** Whether {@link allocViommu} knows a type for this device. Absent: ask by allocating. */
  supportsViommu?(device: DeviceHandle, type: number): boolean;
  /** True: paging domains take neither flags nor data, so the user API refuses them before asking. */
  readonly plainPagingOnly?: boolean;

  /** Page requests of devices. Absent: the unit takes none. One subscriber; called outside any operation. */
  onPageRequest?(sink: PageRequestSink | null): void;
  /** Answers a page-request group. Goes with {@link onPageRequest}. */
  respond?(device: DeviceHandle, response: PageResponse): void;
  /** Page requests of PASIDs without a domain of their own belong to the device's nested domain: the guest keeps the
   *  PASID table. */
  readonly userPasidTable?: boolean;

  /** Delivers the faults the unit reports, in the unit's order. One subscriber; called outside any operation: what comes
   *  in during one is told when its effect is in force. After the log overflowed the unit records again. */
  onFault(listener: ((fault: FaultRecord) => void) | null): void;
}
