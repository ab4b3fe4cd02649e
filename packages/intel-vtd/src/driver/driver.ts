import {
  ALLOC,
  type Capability,
  type DeviceCapability,
  type DeviceDescription,
  type DeviceHandle,
  type DriverPorts,
  ensure,
  type FaultRecord,
  HW_INFO_TYPE,
  HWPT_DATA_TYPE,
  type IommuDriver,
  type NativeData,
  type NestedDomainOps,
  type PagingDomainOps,
  type ReservedRegion,
  type StaticDomainOps,
  type UnitDescription,
} from '@iommukit/core';
import { capabilitiesOf } from './capabilities.ts';
import { VtdDevice } from './device.ts';
import { FirstStageDomain } from './first-stage-domain.ts';
import { hardwareInfo } from './hardware-info.ts';
import { parseNestedData } from './nested-data.ts';
import { NestedDomain } from './nested-domain.ts';
import { OperationGate } from './operation-gate.ts';
import { reservedRegionsOf } from './reserved-regions.ts';
import { SecondStageDomain } from './second-stage-domain.ts';
import { BlockedDomain, IdentityDomain } from './static-domains.ts';
import { Unit } from './unit.ts';

const PAGING_FLAGS = ALLOC.NEST_PARENT | ALLOC.DIRTY_TRACKING | ALLOC.PASID;

/** The driver of one remapping unit. It keeps what is up; everything else is in the parts it hands out. */
export class VtdDriver implements IommuDriver {
  readonly vendor = 'intel-vtd';
  readonly identity: StaticDomainOps = new IdentityDomain();
  readonly blocked: StaticDomainOps = new BlockedDomain();
  readonly #ports: DriverPorts;
  readonly #description: UnitDescription;
  readonly #gate = new OperationGate(() => this.#unit?.faults.deliver());
  #unit: Unit | null = null;
  #capabilities: ReadonlySet<Capability> = new Set();
  #listener: ((fault: FaultRecord) => void) | null = null;

  constructor(ports: DriverPorts, description: UnitDescription) {
    this.#ports = ports;
    this.#description = description;
  }

  get capabilities(): ReadonlySet<Capability> {
    return this.#capabilities;
  }

  probe(): void {
    ensure(this.#unit === null, 'EBUSY', 'the unit is up already');
    this.#gate.run(() => {
      const unit = new Unit(this.#ports, this.#description, this.#gate);
      unit.faults.listener = this.#listener;
      this.#ports.irq.fault?.handle(() => this.#gate.interrupt());
      this.#unit = unit;
      try {
        unit.bringUp();
      } catch (error) {
        this.#abandon(unit);
        throw error;
      }
      this.#capabilities = capabilitiesOf(unit.features);
    });
  }

  release(): void {
    const unit = this.#unit;
    if (unit === null) return;
    this.#gate.run(() => unit.takeDown());
    this.#forget();
  }

  probeDevice(description: DeviceDescription): DeviceHandle {
    const unit = this.#up();
    const device = new VtdDevice(unit, description);
    this.#gate.run(() => device.admit());
    return device;
  }

  releaseDevice(handle: DeviceHandle): void {
    const device = own(handle);
    this.#gate.run(() => device.dismiss());
  }

  capable(handle: DeviceHandle, capability: DeviceCapability): boolean {
    const device = own(handle);
    const { features } = device.unit;
    switch (capability) {
      case 'cache-coherency':
      case 'deferred-flush':
        return true;
      case 'enforce-cache-coherency':
        return features.ecap.SC;
      case 'dirty-tracking':
        return features.dirty;
      case 'pci-ats':
        return device.deviceTlb;
      case 'pasid':
        return device.maxPasids > 0;
      default:
        return false;
    }
  }

  hwInfo(handle: DeviceHandle, type: number): NativeData {
    const known = type === HW_INFO_TYPE.NONE || type === HW_INFO_TYPE.INTEL_VTD;
    ensure(known, 'EOPNOTSUPP', `hardware information of type ${type} is not VT-d's`);
    return hardwareInfo(own(handle).unit.features);
  }

  reservedRegions(handle: DeviceHandle): readonly ReservedRegion[] {
    return reservedRegionsOf(own(handle));
  }

  /** First-stage tables where the unit has them, unless a flag needs the second stage. */
  allocPaging(handle: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    const { unit } = own(handle);
    const { firstStage, secondStage, nested, dirty, pasid } = unit.features;
    const nestParent = (flags & ALLOC.NEST_PARENT) !== 0;
    const dirtyTracking = (flags & ALLOC.DIRTY_TRACKING) !== 0;
    ensure(data === null, 'EOPNOTSUPP', 'paging domains take no user data');
    ensure((flags & ~PAGING_FLAGS) === 0, 'EOPNOTSUPP', `unknown paging flags 0x${flags.toString(16)}`);
    ensure((flags & ALLOC.PASID) === 0 || pasid, 'EOPNOTSUPP', 'the unit has no PASIDs');
    ensure(!nestParent || nested, 'EOPNOTSUPP', 'the unit cannot nest');
    ensure(!dirtyTracking || dirty, 'EOPNOTSUPP', 'the unit does not log writes');
    if (!nestParent && !dirtyTracking && firstStage) return new FirstStageDomain(unit);
    ensure(secondStage, 'EOPNOTSUPP', 'the unit has no second stage');
    return new SecondStageDomain(unit, { nestParent, dirtyTracking });
  }

  allocNested(handle: DeviceHandle, parent: PagingDomainOps, flags: number, data: NativeData): NestedDomainOps {
    const { features } = own(handle).unit;
    ensure(features.nested, 'EOPNOTSUPP', 'the unit cannot nest');
    ensure((flags & ~ALLOC.PASID) === 0, 'EOPNOTSUPP', `unknown nested flags 0x${flags.toString(16)}`);
    ensure(data.type === HWPT_DATA_TYPE.VTD_S1, 'EOPNOTSUPP', `nested data of type ${data.type} is not VT-d's`);
    const isParent = parent instanceof SecondStageDomain && parent.nestParent;
    ensure(isParent, 'EINVAL', 'the parent is no second-stage nesting parent');
    return new NestedDomain(parent, parseNestedData(data.bytes, parent.tableLimit));
  }

  onFault(listener: ((fault: FaultRecord) => void) | null): void {
    this.#listener = listener;
    if (this.#unit) this.#unit.faults.listener = listener;
  }

  #up(): Unit {
    ensure(this.#unit !== null, 'ENODEV', 'the unit is not up');
    return this.#unit;
  }

  /** A unit that did not come up. If it cannot even be stopped it may go on reading its tables: they are not given back. */
  #abandon(unit: Unit): void {
    this.#forget();
    try {
      unit.takeDown();
    } catch {
      // The error that stopped the bring-up is the one to report.
    }
  }

  #forget(): void {
    this.#ports.irq.fault?.handle(null);
    this.#unit = null;
    this.#capabilities = new Set();
  }
}

function own(handle: DeviceHandle): VtdDevice {
  ensure(handle instanceof VtdDevice, 'EINVAL', 'the device sits behind a unit of another vendor');
  return handle;
}

export const createVtdDriver = (ports: DriverPorts, unit: UnitDescription): IommuDriver => new VtdDriver(ports, unit);
