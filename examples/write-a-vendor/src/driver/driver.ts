import {
  type Capability,
  type DeviceCapability,
  type DeviceDescription,
  type DeviceHandle,
  type DriverPorts,
  ensure,
  type FaultRecord,
  type IommuDriver,
  type NativeData,
  type PagingDomainOps,
  PROT,
  type ReservedRegion,
  type StaticDomainOps,
  type UnitDescription,
} from '@iommukit/core';
import { DEVICES } from '../format/structures.ts';
import { PagingDomain, StaticDomain } from './domains.ts';
import { TurnstileDevice, Unit } from './unit.ts';

/** Message interrupts are translated like any write (manual 1), so software keeps a window free to map the doorbell. */
const MSI_WINDOW: ReservedRegion = {
  start: 0x0800_0000n,
  last: 0x080f_ffffn,
  prot: PROT.WRITE | PROT.NOEXEC | PROT.MMIO,
  type: 'sw-msi',
};

export class TurnstileDriver implements IommuDriver {
  readonly vendor = 'turnstile';
  readonly capabilities = new Set<Capability>();
  readonly identity: StaticDomainOps;
  readonly blocked: StaticDomainOps;
  readonly plainPagingOnly = true;
  readonly #description: UnitDescription;
  readonly #unit: Unit;

  constructor(ports: DriverPorts, description: UnitDescription) {
    this.#description = description;
    this.#unit = new Unit(ports);
    this.identity = new StaticDomain('identity', this.#unit);
    this.blocked = new StaticDomain('blocked', this.#unit);
  }

  probe(): void {
    this.#unit.start();
    // Every TS1 has these two, and nothing else.
    this.capabilities.add('identity-passthrough').add('reports-blocked');
  }

  release(): void {
    this.#unit.stop();
  }

  probeDevice(description: DeviceDescription): DeviceHandle {
    for (const id of description.requesterIds)
      ensure(Number.isInteger(id) && id >= 0 && id < DEVICES, 'EINVAL', `no entry for requester id ${id}`);
    const device = new TurnstileDevice(description);
    this.#unit.devices.add(device);
    return device;
  }

  releaseDevice(device: DeviceHandle): void {
    this.#unit.devices.delete(device);
  }

  capable(_device: DeviceHandle, capability: DeviceCapability): boolean {
    return capability === 'cache-coherency' || capability === 'deferred-flush';
  }

  hwInfo(_device: DeviceHandle, type: number): NativeData | null {
    ensure(type === 0, 'EOPNOTSUPP', `no hardware information of type ${type}`);
    return null;
  }

  reservedRegions(device: DeviceHandle): readonly ReservedRegion[] {
    const { requesterIds } = device.description;
    const asked = this.#description.reservations.filter(({ devices }) =>
      devices.some((id) => requesterIds.includes(id)),
    );
    const direct = asked.map(({ start, last, relaxable }): ReservedRegion => {
      return { start, last, prot: PROT.READ | PROT.WRITE, type: relaxable ? 'direct-relaxable' : 'direct' };
    });
    return [MSI_WINDOW, ...direct];
  }

  allocPaging(_device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    ensure(flags === 0 && data === null, 'EOPNOTSUPP', 'paging domains take neither flags nor data');
    return new PagingDomain(this.#unit);
  }

  onFault(listener: ((fault: FaultRecord) => void) | null): void {
    this.#unit.log.listener = listener;
  }
}
