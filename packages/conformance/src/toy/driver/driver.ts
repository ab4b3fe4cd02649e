import {
  ALLOC,
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
  type NestedDomainOps,
  type PagingDomainOps,
  type ReservedRegion,
  type UnitDescription,
  type ViommuOps,
} from '@iommukit/core';
import { TOY_DATA_TYPE } from '../format/commands.ts';
import { CTRL_ENABLE, REGISTERS, STATUS } from '../format/registers.ts';
import { CommandProducer } from './command-producer.ts';
import { DeviceTable, TABLE_BYTES, TABLE_LG2, type ToyDevice } from './device-table.ts';
import { EventConsumer } from './event-consumer.ts';
import { Gate } from './gate.ts';
import { DirectNestedDomain } from './nested-domain.ts';
import { ToyPagingDomain } from './paging-domain.ts';
import { readFeatures, type ToyFeatures } from './probe.ts';
import { reservedRegions } from './reserved.ts';
import { BlockedDomain, IdentityDomain } from './static-domains.ts';
import { Tags } from './tags.ts';
import type { ToyUnit } from './unit.ts';
import { ToyViommu } from './viommu.ts';

const PATIENCE = 100_000;
const RING_BYTES = 4096;

/** The driver half: thin, every operation goes to the part that knows. */
export class ToyDriver implements IommuDriver {
  readonly vendor = 'toy';
  readonly identity = new IdentityDomain(() => this.unit);
  readonly blocked = new BlockedDomain(() => this.unit);
  allocNested?: NonNullable<IommuDriver['allocNested']>;
  allocViommu?: NonNullable<IommuDriver['allocViommu']>;
  readonly #ports: DriverPorts;
  readonly #description: UnitDescription;
  #unit: ToyUnit | null = null;
  #events: EventConsumer | null = null;
  #memory: number[] = [];

  constructor(ports: DriverPorts, description: UnitDescription) {
    this.#ports = ports;
    this.#description = description;
  }

  get capabilities(): ReadonlySet<Capability> {
    return this.#unit?.features.capabilities ?? new Set();
  }

  /** The running unit; ENODEV before {@link probe}. */
  get unit(): ToyUnit {
    ensure(this.#unit !== null, 'ENODEV', 'the unit is not running');
    return this.#unit;
  }

  probe(): void {
    const features = readFeatures(this.#ports);
    try {
      this.#bringUp(features);
    } catch (error) {
      this.#giveMemoryBack();
      throw error;
    }
    if (features.capabilities.has('nested-on-parent')) this.allocNested = allocNested;
    if (features.capabilities.has('viommu')) this.allocViommu = allocViommu;
  }

  release(): void {
    this.#enable(false);
    this.#events?.stop();
    this.#events = null;
    this.identity.free();
    this.#giveMemoryBack();
    this.#unit = null;
  }

  probeDevice(description: DeviceDescription): ToyDevice {
    const pasids = this.capabilities.has('pasid') && description.pasidBits > 0;
    const { devices, gate } = this.unit;
    return gate.run(() => devices.add(description, pasids ? 2 ** description.pasidBits : 0));
  }

  releaseDevice(device: DeviceHandle): void {
    const { devices, gate } = this.unit;
    gate.run(() => devices.remove(device as ToyDevice));
  }

  capable(device: DeviceHandle, capability: DeviceCapability): boolean {
    const has = (name: Capability) => this.capabilities.has(name);
    switch (capability) {
      case 'cache-coherency':
        return device.description.coherent;
      case 'enforce-cache-coherency':
        return has('enforce-cache-coherency') && device.description.coherent;
      case 'noexec':
        return has('execute-permission');
      case 'dirty-tracking':
        return has('dirty-tracking');
      case 'pasid':
        return device.maxPasids > 0;
      default:
        return false;
    }
  }

  hwInfo(_device: DeviceHandle, type: number): NativeData | null {
    ensure(type === 0 || type === TOY_DATA_TYPE, 'EOPNOTSUPP', `no hardware information of type ${type}`);
    if (!this.capabilities.has('hw-info')) return null;
    const { id, caps } = this.unit.features;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(0, id, true);
    new DataView(bytes.buffer).setUint32(4, caps, true);
    return { type: TOY_DATA_TYPE, bytes };
  }

  reservedRegions(device: DeviceHandle): readonly ReservedRegion[] {
    return reservedRegions(this.#description, device.description);
  }

  allocPaging(_device: DeviceHandle, flags: number, data: NativeData | null): PagingDomainOps {
    const known =
      (this.capabilities.has('nest-parent') ? ALLOC.NEST_PARENT : 0) |
      (this.capabilities.has('dirty-tracking') ? ALLOC.DIRTY_TRACKING : 0) |
      (this.capabilities.has('pasid') ? ALLOC.PASID : 0);
    ensure((flags & ~known) === 0, 'EOPNOTSUPP', `no paging domain with flags 0x${flags.toString(16)}`);
    ensure(data === null, 'EOPNOTSUPP', 'a paging domain takes no data');
    return new ToyPagingDomain(this.unit, flags);
  }

  onFault(listener: ((fault: FaultRecord) => void) | null): void {
    if (this.#events) this.#events.listener = listener;
  }

  #bringUp(features: ToyFeatures): void {
    const { mmio, memory } = this.#ports;
    // Somebody may have left it running, on tables of their own.
    this.#enable(false);
    const [table, commandRing, eventRing] = [
      this.#alloc(TABLE_BYTES),
      this.#alloc(RING_BYTES),
      this.#alloc(RING_BYTES),
    ];
    mmio.write64(REGISTERS.TABLE.at, BigInt(table) | BigInt(TABLE_LG2));
    mmio.write64(REGISTERS.CMD_BASE.at, BigInt(commandRing));
    mmio.write64(REGISTERS.EVT_BASE.at, BigInt(eventRing));
    this.#enable(true);
    const gate = new Gate();
    this.#events = new EventConsumer(this.#ports, eventRing, gate);
    const commands = new CommandProducer(this.#ports, commandRing);
    const devices = new DeviceTable(memory, this.#ports.pages, commands, table);
    const tags = new Tags();
    this.#unit = { ports: this.#ports, features, commands, devices, gate, tags, guestTags: new Tags() };
  }

  #enable(on: boolean): void {
    const { mmio } = this.#ports;
    const wanted = on ? STATUS.RUNNING : 0;
    mmio.write32(REGISTERS.CTRL.at, on ? CTRL_ENABLE : 0);
    for (let turn = 0; turn < PATIENCE; turn++)
      if ((mmio.read32(REGISTERS.STATUS.at) & STATUS.RUNNING) === wanted) return;
    throw new IommuError('ETIMEDOUT', `the unit does not ${on ? 'start' : 'stop'}`);
  }

  #alloc(bytes: number): number {
    const pa = this.#ports.pages.alloc(bytes);
    this.#memory.push(pa);
    return pa;
  }

  #giveMemoryBack(): void {
    for (const pa of this.#memory.splice(0)) this.#ports.pages.free(pa);
  }
}

function allocNested(_device: DeviceHandle, parent: PagingDomainOps, flags: number, data: NativeData): NestedDomainOps {
  ensure((flags & ~ALLOC.PASID) === 0, 'EOPNOTSUPP', `no nested domain with flags 0x${flags.toString(16)}`);
  return new DirectNestedDomain(parent as ToyPagingDomain, data);
}

function allocViommu(_device: DeviceHandle, parent: PagingDomainOps, type: number, data: NativeData | null): ViommuOps {
  ensure(type === TOY_DATA_TYPE, 'EOPNOTSUPP', `no vIOMMU of type ${type}`);
  ensure(data === null, 'EINVAL', 'a vIOMMU takes no data');
  return new ToyViommu(parent as ToyPagingDomain);
}
