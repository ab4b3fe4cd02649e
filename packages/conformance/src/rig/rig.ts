import { hiOf, loOf, toBig } from '@iommukit/bits';
import {
  type Capability,
  type DeviceDescription,
  DmaAnswer,
  DmaRequest,
  type Domain,
  type FirmwareReservation,
  type GuestKit,
  IommuSystem,
  type NestedDomain,
  OUTCOME,
  type PagingDomain,
  PROT,
  type ReportedFault,
  type VendorConfig,
  type VendorPlugin,
  type Viommu,
} from '@iommukit/core';
import { Machine, type Schedule, type Unit } from '@iommukit/machine';
import { equal, ok } from '../expect.ts';
import { DEVICES, type DeviceName } from './devices.ts';
import { Nest } from './nest.ts';
import { Ram } from './ram.ts';
import { RigDevice } from './rig-device.ts';
import { scribbleOnFree } from './scribble.ts';

/** Memory the rig itself puts in: data, readable and writable. */
export const RW = PROT.READ | PROT.WRITE | PROT.CACHE;

/** More than any driver needs to take in one fault. */
const ACCESSES_OF_A_HANDLER = 24;

export interface RigOptions {
  readonly schedule: Schedule;
  /** The board to put the unit on; default: a fresh one. It has no unit yet. */
  readonly machine?: Machine;
}

/** Firmware's wishes for `a` and `b`, for the cases on reserved regions. */
export const RESERVATIONS: readonly FirmwareReservation[] = [
  { start: 0x7000_0000n, last: 0x7000_ffffn, relaxable: false, devices: [DEVICES.a.requesterIds[0]!] },
  { start: 0x7100_0000n, last: 0x7100_ffffn, relaxable: true, devices: [DEVICES.a.requesterIds[0]!] },
];

/**
 * A fresh board with one unit that is up, and whatever devices a case plugs in. It tells nobody which vendor it is.
 */
export class Rig {
  readonly machine: Machine;
  readonly system = new IommuSystem();
  readonly ram: Ram;
  readonly unit: Unit;
  /** Every fault any unit reported, in order. */
  readonly faults: ReportedFault[] = [];
  readonly capabilities: ReadonlySet<Capability>;
  readonly declared: readonly Capability[];
  readonly #plugin: VendorPlugin;
  readonly #config: VendorConfig;
  readonly #schedule: Schedule;
  readonly #answer = new DmaAnswer();
  readonly #devices = new Map<string, RigDevice>();
  readonly #units = new Set<Unit>();
  readonly #domains: Domain[] = [];
  readonly #viommus: Viommu[] = [];

  constructor(plugin: VendorPlugin, config: VendorConfig, { schedule, machine }: RigOptions) {
    this.#plugin = plugin;
    this.#config = config;
    this.#schedule = schedule;
    this.machine = machine ?? new Machine({ schedule });
    scribbleOnFree(this.machine);
    this.ram = new Ram(this.machine.memory);
    this.system.onFault((fault) => this.faults.push(fault));
    this.unit = this.addUnit();
    this.capabilities = this.unit.driver.capabilities;
    this.declared = config.declared;
  }

  has(capability: Capability): boolean {
    return this.capabilities.has(capability);
  }

  /** Another unit of the same kind, up. */
  addUnit(): Unit {
    const unit = this.machine.addUnit(this.#plugin, this.#config, { reservations: RESERVATIONS });
    this.system.addUnit(unit.driver);
    this.#units.add(unit);
    return unit;
  }

  /** The device of that name behind `unit`, plugged in when first asked for. */
  device(name: DeviceName, unit: Unit = this.unit): RigDevice {
    return this.#devices.get(`${unit.id}/${name}`) ?? this.plug(DEVICES[name], unit);
  }

  /** Plugs in any device. */
  plug(description: DeviceDescription, unit: Unit = this.unit): RigDevice {
    const endpoint = unit.endpoint(description);
    const added = new RigDevice(this, this.system.addDevice(unit.driver, endpoint.description), endpoint);
    this.#devices.set(`${unit.id}/${description.name}`, added);
    return added;
  }

  /** Unplugs a device; its endpoint stays on the bus. */
  unplug(device: RigDevice): void {
    this.system.removeDevice(device.device);
    for (const [key, known] of this.#devices) if (known === device) this.#devices.delete(key);
  }

  /** Takes a unit down and forgets it. */
  removeUnit(unit: Unit): void {
    this.system.removeUnit(unit.driver);
    this.#units.delete(unit);
  }

  /** A guest with one device. */
  nest(owner: RigDevice, virtualId = 5n): Nest {
    return new Nest(this, this.guestKit, owner, virtualId);
  }

  /** What a guest's driver writes. */
  get guestKit(): GuestKit {
    const kit = this.#plugin.guest;
    ok(kit !== undefined, 'the vendor says it nests, but brings no guest kit');
    return kit;
  }

  /** Lets time pass until no hardware work and no interrupt waits. */
  settle(): void {
    ok(this.machine.runUntilIdle(), 'the hardware does not come to rest');
  }

  /** See {@link RigDevice.glance}; also for ids that no device has yet. */
  glance(unit: Unit, requesterId: number, iova: bigint): bigint | null {
    const request = new DmaRequest();
    request.device = requesterId;
    request.iovaHi = hiOf(iova);
    request.iovaLo = loOf(iova);
    unit.hardware.translate(request, this.#answer);
    return this.#answer.outcome === OUTCOME.FAULT ? null : toBig(this.#answer.paHi, this.#answer.paLo);
  }

  /**
   * Calls `look` around the register accesses of a driver while `body` runs. `look` says whether all it asked for went
   * through; after a refusal the next accesses are left to the driver's fault handler, which would never end otherwise.
   */
  watching(look: () => boolean, body: () => void): void {
    let rest = 0;
    const at = () => {
      if (rest > 0) rest--;
      else if (!look()) rest = ACCESSES_OF_A_HANDLER;
    };
    const stop = this.machine.observe({ read: at, write: at, relax: at });
    try {
      body();
    } finally {
      stop();
    }
    this.settle();
  }

  /** Reports since the last call. */
  takeFaults(): ReportedFault[] {
    return this.faults.splice(0);
  }

  track(domain: PagingDomain): PagingDomain {
    this.#domains.push(domain);
    return domain;
  }

  trackNested(domain: NestedDomain): NestedDomain {
    this.#domains.push(domain);
    return domain;
  }

  trackViommu(viommu: Viommu): Viommu {
    this.#viommus.push(viommu);
    return viommu;
  }

  /** Frees a vIOMMU before the rig does. */
  freeViommu(viommu: Viommu): void {
    viommu.free();
    this.#viommus.splice(this.#viommus.indexOf(viommu), 1);
  }

  /** Gives everything back, in the order a careful user would, and looks for what is left. */
  dispose(): void {
    this.machine.schedule = this.#schedule;
    for (const { device } of this.#devices.values())
      for (const pasid of [...device.group.pasids, 0]) device.group.detach(pasid);
    for (const domain of this.#domains) if (domain.kind === 'nested') domain.free();
    for (const viommu of this.#viommus) this.#freeWithIds(viommu);
    for (const domain of this.#domains) domain.free();
    for (const { device } of this.#devices.values()) this.system.removeDevice(device);
    for (const unit of this.#units) this.system.removeUnit(unit.driver);
    equal(this.machine.pages.livePages, 0, 'pages that nobody gave back');
  }

  #freeWithIds(viommu: Viommu): void {
    for (const { device } of this.#devices.values()) {
      try {
        viommu.clearVirtualId(device);
      } catch {
        // The device had none.
      }
    }
    viommu.free();
  }
}
