import { type IommuDriver, IommuSystem } from '@iommukit/core';
import { type Endpoint, Machine, type Unit } from '@iommukit/machine';
import { equal, hex, ok } from '../expect.ts';
import { DEVICES } from './devices.ts';
import { Ram } from './ram.ts';
import { type Rig, RW } from './rig.ts';

const IOVA = 0x4000_0000n;
/** More than a driver needs to take in one fault. */
const ACCESSES_OF_A_HANDLER = 24;

/**
 * A second board, whose unit was brought up by somebody who is gone (firmware, a kernel before this one): a device is
 * attached, its page is remembered, tables and queues lie in memory that the next driver does not own.
 */
export class LeftRunning {
  readonly #machine: Machine;
  readonly #unit: Unit;
  readonly #endpoint: Endpoint;
  readonly #rig: Rig;
  readonly #ram: Ram;
  readonly #system = new IommuSystem();
  readonly #next: IommuDriver;
  readonly #pa: bigint;

  constructor(rig: Rig) {
    const { plugin, config } = rig.unit;
    this.#rig = rig;
    this.#machine = new Machine({ schedule: rig.machine.schedule });
    this.#ram = new Ram(this.#machine.memory);
    this.#unit = this.#machine.addUnit(plugin, config);
    this.#endpoint = this.#unit.endpoint(DEVICES.a);
    this.#pa = this.#attach(new IommuSystem(), this.#unit.driver);
    this.#expect(IOVA, this.#pa, 'for its first owner');
    for (const source of Object.values(this.#unit.ports.irq)) source.handle(null);
    this.#next = plugin.createDriver(this.#unit.ports, this.#unit.description);
  }

  /** Brings the unit up again with a DMA between any two accesses; the places it reached that nobody may explain. */
  bringUp(): string[] {
    const strange: string[] = [];
    let rest = 0;
    const look = () => {
      if (rest-- > 0) return;
      const at = this.#rig.glance(this.#unit, DEVICES.a.requesterIds[0]!, IOVA);
      if (at === null) rest = ACCESSES_OF_A_HANDLER;
      else if (at !== this.#pa && at !== IOVA) strange.push(hex(at));
    };
    const stop = this.#machine.observe({ read: look, write: look, relax: look });
    this.#system.addUnit(this.#next);
    stop();
    ok(this.#machine.runUntilIdle(), 'the hardware does not come to rest');
    return strange;
  }

  /** Nothing of what the device could reach is left, and nothing passes through. */
  refuses(): void {
    for (const at of [IOVA, this.#pa]) {
      ok(!this.#endpoint.read(at, 8).ok, `a read at ${hex(at)} went through after the driver came up`);
      ok(
        !this.#endpoint.write(at, new Uint8Array(8)).ok,
        `a write at ${hex(at)} went through after the driver came up`,
      );
      ok(this.#machine.runUntilIdle(), 'the hardware does not come to rest');
    }
  }

  /** The next owner can use it. */
  works(): void {
    const pa = this.#attach(this.#system, this.#next);
    this.#expect(IOVA, pa, 'for its next owner');
  }

  #attach(system: IommuSystem, driver: IommuDriver): bigint {
    if (driver !== this.#next) system.addUnit(driver);
    const device = system.addDevice(driver, this.#endpoint.description);
    const domain = device.allocPaging();
    const pa = this.#ram.take(domain.granule, domain.granule);
    domain.map(IOVA, pa, domain.granule, RW);
    device.attach(domain);
    return pa;
  }

  #expect(iova: bigint, pa: bigint, whom: string): void {
    const mark = this.#ram.mark(pa);
    const { data } = this.#endpoint.read(iova, mark.length);
    equal(Buffer.compare(data, mark), 0, `what a read brings ${whom}`);
  }
}
