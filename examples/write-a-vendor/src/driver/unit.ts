import type { Words } from '@iommukit/bits';
import { type DeviceDescription, type DeviceHandle, type DriverPorts, ensure } from '@iommukit/core';
import { CTRL_EN, ID_TS1, REGISTERS, STATUS_CQERR, STATUS_LOST } from '../format/registers.ts';
import { INV_DEVICE, OP } from '../format/structures.ts';
import { CommandQueue } from './command-queue.ts';
import { FaultLog } from './fault-log.ts';

const PAGE = 4096;

/** An admitted device, with the commands that make the unit forget its entries. */
export class TurnstileDevice implements DeviceHandle {
  readonly description: DeviceDescription;
  readonly maxPasids = 0;
  readonly invalidations: readonly Words[];

  constructor(description: DeviceDescription) {
    this.description = description;
    this.invalidations = description.requesterIds.map((id) => INV_DEVICE.encode({ OP: OP.INV_DEVICE, DEVICE: id }));
  }
}

/** The unit as the domains see it: device entries and invalidation. */
export class Unit {
  readonly ports: DriverPorts;
  readonly log: FaultLog;
  readonly devices = new Set<DeviceHandle>();
  readonly #queue: CommandQueue;
  /** Device table, command queue and fault log, a page each: one allocation cannot fail half-way. */
  #pages = 0;

  constructor(ports: DriverPorts) {
    this.ports = ports;
    this.log = new FaultLog(ports);
    this.#queue = new CommandQueue(ports);
  }

  /** A zeroed device table blocks everyone. */
  start(): void {
    const { mmio, pages } = this.ports;
    ensure(mmio.read32(REGISTERS.ID.at) === ID_TS1, 'ENODEV', 'this is no TS1');
    // Somebody may have left it running; the bases only move while it is stopped.
    mmio.write32(REGISTERS.CTRL.at, 0);
    this.#pages = pages.alloc(3 * PAGE, PAGE);
    mmio.write64(REGISTERS.DTBASE.at, BigInt(this.#pages));
    this.#queue.start(this.#pages + PAGE);
    this.log.start(this.#pages + 2 * PAGE);
    mmio.write32(REGISTERS.STATUS.at, STATUS_LOST | STATUS_CQERR);
    mmio.write32(REGISTERS.CTRL.at, CTRL_EN);
  }

  stop(): void {
    this.ports.mmio.write32(REGISTERS.CTRL.at, 0);
    this.log.stop();
    this.ports.pages.free(this.#pages);
  }

  /** Runs one command; throws ETIMEDOUT. */
  invalidate(command: Words): void {
    this.log.during(() => this.#queue.run(command));
  }

  /** Writes all entries of a device; when the unit does not follow, they are what they were. */
  configure(device: DeviceHandle, entry: Words): void {
    ensure(device instanceof TurnstileDevice && this.devices.has(device), 'EINVAL', 'a device of another unit');
    this.log.during(() => {
      const before = device.description.requesterIds.map((id) => this.#swap(id, entry));
      try {
        for (const command of device.invalidations) this.#queue.run(command);
      } catch (error) {
        device.description.requesterIds.forEach((id, i) => {
          this.#swap(id, before[i]!);
        });
        throw error;
      }
    });
  }

  /** One 64-bit write: the unit sees the old entry or the new one. */
  #swap(id: number, entry: Words): Words {
    const { memory } = this.ports;
    const at = this.#pages + id * 8;
    memory.read64(0, at);
    const before = Uint32Array.of(memory.lo, memory.hi);
    memory.write64(0, at, entry[1]! | 0, entry[0]! | 0);
    return before;
  }
}
