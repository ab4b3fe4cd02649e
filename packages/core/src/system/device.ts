import type { Domain } from '../domain/domain.ts';
import { PagingDomain } from '../domain/paging-domain.ts';
import { busReservations } from '../iova/reserved.ts';
import type { DeviceCapability } from '../ops/capability.ts';
import type { DeviceHandle, IommuDriver } from '../ops/driver.ts';
import type { NativeData, ReservedRegion } from '../ops/types.ts';
import type { DeviceDescription } from '../ports/discovery.ts';
import type { Group } from './group.ts';

/** A device behind a unit. Domains are set for its whole group; these methods act on that group. */
export class Device {
  readonly driver: IommuDriver;
  readonly handle: DeviceHandle;
  readonly group: Group;

  constructor(driver: IommuDriver, handle: DeviceHandle, group: Group) {
    this.driver = driver;
    this.handle = handle;
    this.group = group;
  }

  get description(): DeviceDescription {
    return this.handle.description;
  }

  get maxPasids(): number {
    return this.handle.maxPasids;
  }

  /** The domain its requests without PASID go through now. */
  get domain(): Domain {
    return this.group.domain;
  }

  capable(capability: DeviceCapability): boolean {
    return this.driver.capable(this.handle, capability);
  }

  /** Native identification registers; null when the vendor has none to show. EOPNOTSUPP: unknown `type`. */
  hwInfo(type = 0): NativeData | null {
    return this.driver.hwInfo(this.handle, type);
  }

  /** The vendor's regions first, then what the bus closes. Does not depend on what is attached. */
  reservedRegions(): ReservedRegion[] {
    return [...this.driver.reservedRegions(this.handle), ...busReservations(this.description)];
  }

  /** A paging domain that fits this device. `flags` are ALLOC bits. EOPNOTSUPP, ENOMEM, ENOSPC. */
  allocPaging(flags = 0, data: NativeData | null = null): PagingDomain {
    return new PagingDomain(this.driver, this.driver.allocPaging(this.handle, flags, data), flags);
  }

  /** See {@link Group.attach}. */
  attach(domain: Domain, pasid = 0): void {
    this.group.attach(domain, pasid);
  }

  /** See {@link Group.replace}. */
  replace(domain: Domain, pasid = 0): void {
    this.group.replace(domain, pasid);
  }

  /** See {@link Group.detach}. */
  detach(pasid = 0): void {
    this.group.detach(pasid);
  }
}
