import {
  type Capability,
  type DeviceCapability,
  type DeviceDescription,
  type DeviceHandle,
  type DriverPorts,
  ensure,
  type FaultRecord,
  type IommuDriver,
  IommuError,
  type NativeData,
  type PagingDomainOps,
  PROT,
  type ReservedRegion,
  type UnitDescription,
} from '@iommukit/core';
import { REQUEST_STATUS, TAIL_BYTES } from '../format/requests.ts';
import { VirtioDevice } from './device.ts';
import { VirtioPagingDomain } from './paging-domain.ts';
import { capabilitiesOf } from './probe.ts';
import { parseProperties, SW_MSI_REGION } from './properties.ts';
import { probeRequest } from './requests.ts';
import { BlockedDomain, IdentityDomain } from './static-domains.ts';
import { attachError } from './status.ts';
import { Unit } from './unit.ts';

const CAPABLE: readonly DeviceCapability[] = ['cache-coherency', 'deferred-flush'];

/** The driver half: what a guest's virtio-iommu driver does, in the words of the core's contract. */
export class VirtioIommuDriver implements IommuDriver {
  readonly vendor = 'virtio-iommu';
  readonly plainPagingOnly = true;
  readonly identity = new IdentityDomain(() => this.#live);
  readonly blocked = new BlockedDomain(() => this.#live);
  #capabilities: ReadonlySet<Capability> = new Set();
  readonly #ports: DriverPorts;
  readonly #description: UnitDescription;
  #unit: Unit | null = null;
  #listener: ((fault: FaultRecord) => void) | null = null;

  constructor(ports: DriverPorts, description: UnitDescription) {
    this.#ports = ports;
    this.#description = description;
  }

  get capabilities(): ReadonlySet<Capability> {
    return this.#capabilities;
  }

  probe(): void {
    this.#unit = new Unit(this.#ports, this.#description);
    this.#unit.listener = this.#listener;
    this.#capabilities = new Set(capabilitiesOf(this.#unit.facts));
  }

  release(): void {
    this.#live.release();
    this.identity.forget();
    this.blocked.forget();
    this.#unit = null;
    this.#capabilities = new Set();
  }

  probeDevice(description: DeviceDescription): VirtioDevice {
    const unit = this.#live;
    const ids = description.requesterIds;
    const valid = ids.length > 0 && ids.every((id) => Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff);
    ensure(valid, 'EINVAL', `${description.name}: an endpoint id is 0 … 0xffffffff`);
    const regions = unit.operation(() => this.#regionsOf(unit, ids));
    const device = new VirtioDevice(unit, description, regions);
    if (!unit.detachedIsBlocked) this.blocked.attach(device);
    for (const id of ids) unit.devices.set(id, device);
    return device;
  }

  releaseDevice(handle: DeviceHandle): void {
    for (const id of handle.description.requesterIds) this.#live.devices.delete(id);
  }

  capable(_device: DeviceHandle, capability: DeviceCapability): boolean {
    return CAPABLE.includes(capability);
  }

  hwInfo(_device: DeviceHandle, type: number): NativeData | null {
    ensure(type === 0, 'EOPNOTSUPP', `no identification data of type ${type}`);
    return null;
  }

  /** What PROBE named, the window for doorbells where it named no MSI region, and what firmware asks for. */
  reservedRegions(device: DeviceHandle): readonly ReservedRegion[] {
    const own = device as VirtioDevice;
    return [...own.reserved, ...this.#firmwareRegions(own.description.requesterIds)];
  }

  allocPaging(_device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    ensure(flags === 0, 'EOPNOTSUPP', `allocation flags 0x${flags.toString(16)}`);
    ensure(data === null, 'EOPNOTSUPP', 'no user data is known here');
    return new VirtioPagingDomain(this.#live);
  }

  onFault(listener: ((fault: FaultRecord) => void) | null): void {
    this.#listener = listener;
    if (this.#unit) this.#unit.listener = listener;
  }

  get #live(): Unit {
    if (this.#unit === null) throw new IommuError('ENODEV', 'the unit was not probed');
    return this.#unit;
  }

  /** Regions of all endpoint ids together; ENODEV for an id the device does not know. */
  #regionsOf(unit: Unit, ids: readonly number[]): ReservedRegion[] {
    const { probeSize } = unit.facts;
    const found = probeSize === null ? [] : ids.flatMap((id) => this.#probeEndpoint(unit, id, probeSize));
    const unique = new Map(found.map((region) => [`${region.type} ${region.start} ${region.last}`, region]));
    const regions = [...unique.values()];
    return regions.some(({ type }) => type === 'msi') ? regions : [...regions, SW_MSI_REGION];
  }

  #probeEndpoint(unit: Unit, id: number, probeSize: number): ReservedRegion[] {
    const answer = new Uint8Array(probeSize + TAIL_BYTES);
    const status = unit.queue.probe(probeRequest(id), answer);
    if (status !== REQUEST_STATUS.OK) throw attachError(`PROBE of endpoint 0x${id.toString(16)}`, status);
    return parseProperties(answer.subarray(0, probeSize));
  }

  #firmwareRegions(ids: readonly number[]): ReservedRegion[] {
    return this.#description.reservations
      .filter(({ devices }) => devices.some((id) => ids.includes(id)))
      .map(({ start, last, relaxable }) => ({
        start,
        last,
        prot: PROT.READ | PROT.WRITE,
        type: relaxable ? 'direct-relaxable' : 'direct',
      }));
  }
}
