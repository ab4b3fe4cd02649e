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
  type IommuDriver,
  isIommuError,
  type NativeData,
  type PagingDomainOps,
  PROT,
  type ReservedRegion,
  type UnitDescription,
  VIOMMU_TYPE,
  type ViommuOps,
} from '@iommukit/core';
import { disable, enable, shutDown } from './bring-up.ts';
import { capabilitiesOf } from './capabilities.ts';
import { readFeatures } from './features.ts';
import { hwInfo } from './hw-info.ts';
import { Master, masterOf } from './master.ts';
import { PagingDomain, type PagingOptions } from './paging-domain.ts';
import { Smmu } from './smmu.ts';
import { BlockedDomain, IdentityDomain } from './static-domains.ts';
import { Viommu } from './viommu.ts';

/** Where software maps message doorbells (Linux's choice for Arm). */
const SW_MSI: ReservedRegion = {
  start: 0x0800_0000n,
  last: 0x080f_ffffn,
  prot: PROT.WRITE | PROT.NOEXEC | PROT.MMIO,
  type: 'sw-msi',
};

/** The driver half of one SMMUv3. */
export class SmmuDriver implements IommuDriver {
  readonly vendor = 'arm-smmuv3';
  readonly identity = new IdentityDomain();
  readonly blocked = new BlockedDomain();
  capabilities: ReadonlySet<Capability> = new Set();
  readonly #ports: DriverPorts;
  readonly #unit: UnitDescription;
  #smmu: Smmu | null = null;
  #listener: ((fault: FaultRecord) => void) | null = null;

  constructor(ports: DriverPorts, unit: UnitDescription) {
    this.#ports = ports;
    this.#unit = unit;
  }

  probe(): void {
    ensure(this.#smmu === null, 'EBUSY', 'the unit is up already');
    const features = readFeatures(this.#ports.mmio);
    disable(this.#ports);
    const smmu = new Smmu(this.#ports, features);
    smmu.events.listener = (fault) => this.#listener?.(fault);
    try {
      enable(smmu);
    } catch (error) {
      this.#abandon(smmu);
      throw error;
    }
    this.#smmu = smmu;
    this.capabilities = capabilitiesOf(features);
  }

  release(): void {
    const smmu = this.#up();
    shutDown(smmu);
    smmu.free();
    this.#smmu = null;
    this.capabilities = new Set();
  }

  probeDevice(description: DeviceDescription): DeviceHandle {
    const smmu = this.#up();
    smmu.operation(() => {
      for (const sid of description.requesterIds) smmu.streams.admit(sid);
    });
    return new Master(smmu, description, this.blocked);
  }

  releaseDevice(device: DeviceHandle): void {
    masterOf(this.#up(), device).free();
  }

  capable(device: DeviceHandle, capability: DeviceCapability): boolean {
    const { features } = this.#up();
    const { description, maxPasids } = device;
    const answers: Readonly<Record<DeviceCapability, boolean>> = {
      'cache-coherency': features.coherent,
      'enforce-cache-coherency': description.coherent,
      noexec: true,
      'dirty-tracking': features.dirty,
      'deferred-flush': true,
      'pci-ats': false,
      pasid: maxPasids > 0,
    };
    return answers[capability];
  }

  hwInfo(_device: DeviceHandle, type: number): NativeData {
    const known = type === HW_INFO_TYPE.NONE || type === HW_INFO_TYPE.ARM_SMMUV3;
    ensure(known, 'EOPNOTSUPP', `no hardware information of type ${type}`);
    return hwInfo(this.#up().features);
  }

  reservedRegions({ description }: DeviceHandle): readonly ReservedRegion[] {
    const firmware = this.#unit.reservations.filter(({ devices }) =>
      devices.some((id) => description.requesterIds.includes(id)),
    );
    return [
      SW_MSI,
      ...firmware.map(
        ({ start, last, relaxable }): ReservedRegion => ({
          start,
          last,
          prot: PROT.READ | PROT.WRITE,
          type: relaxable ? 'direct-relaxable' : 'direct',
        }),
      ),
    ];
  }

  allocPaging(_device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    ensure(data === null, 'EOPNOTSUPP', 'a paging domain takes no user data here');
    return new PagingDomain(this.#up(), this.#optionsFor(flags));
  }

  /** Both stages, and guests that cannot make their DMA non-coherent: S2FWB, or a device that is coherent for good. */
  supportsViommu(device: DeviceHandle, type: number): boolean {
    const { stage1, stage2, s2fwb } = this.#up().features;
    return type === VIOMMU_TYPE.ARM_SMMUV3 && stage1 && stage2 && (s2fwb || device.description.coherent);
  }

  allocViommu(device: DeviceHandle, parent: PagingDomainOps, type: number, data: NativeData | null): ViommuOps {
    const smmu = this.#up();
    const master = masterOf(smmu, device);
    ensure(this.supportsViommu(device, type) && data === null, 'EOPNOTSUPP', `no vIOMMU of type ${type} here`);
    ensure(parent instanceof PagingDomain && parent.nestParent, 'EINVAL', 'the domain is not a nesting parent');
    parent.checkDevice(master);
    return new Viommu(smmu, parent);
  }

  onFault(listener: ((fault: FaultRecord) => void) | null): void {
    this.#listener = listener;
  }

  /** After a failed probe: off, as far as the unit still listens, and the memory back. */
  #abandon(smmu: Smmu): void {
    try {
      shutDown(smmu);
    } catch (error) {
      if (!isIommuError(error)) throw error;
    }
    smmu.free();
  }

  #up(): Smmu {
    ensure(this.#smmu !== null, 'ENODEV', 'the unit is not up');
    return this.#smmu;
  }

  #optionsFor(flags: number): PagingOptions {
    const { stage1, stage2, dirty, ssidBits } = this.#up().features;
    if (flags === ALLOC.NEST_PARENT) {
      ensure(stage1 && stage2, 'EOPNOTSUPP', 'a nesting parent needs both stages');
      return { stage: 2, nestParent: true, dirty: false };
    }
    const known = (flags & ~(ALLOC.DIRTY_TRACKING | ALLOC.PASID)) === 0;
    ensure(known, 'EOPNOTSUPP', `flags 0x${flags.toString(16)} do not go together here`);
    ensure(flags === 0 || stage1, 'EOPNOTSUPP', 'these flags need a stage 1');
    ensure((flags & ALLOC.PASID) === 0 || ssidBits > 0, 'EOPNOTSUPP', 'the SMMU has no substreams');
    const logs = (flags & ALLOC.DIRTY_TRACKING) !== 0;
    ensure(!logs || dirty, 'EOPNOTSUPP', 'the SMMU does not log writes');
    return { stage: stage1 ? 1 : 2, nestParent: false, dirty: logs };
  }
}

export const createSmmuDriver = (ports: DriverPorts, unit: UnitDescription): IommuDriver => new SmmuDriver(ports, unit);
