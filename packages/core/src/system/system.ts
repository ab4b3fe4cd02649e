import { StaticDomain } from '../domain/domain.ts';
import { ensure } from '../error/errno.ts';
import type { FaultRecord } from '../fault/record.ts';
import type { DeviceHandle, IommuDriver } from '../ops/driver.ts';
import type { DeviceDescription } from '../ports/discovery.ts';
import { Device } from './device.ts';
import { Group } from './group.ts';
import { PageRequestRouter } from './page-requests.ts';

/** A fault with the device it came from; null when no known device has the id. */
export interface ReportedFault {
  readonly driver: IommuDriver;
  readonly device: Device | null;
  readonly record: FaultRecord;
}

interface Statics {
  readonly identity: StaticDomain;
  readonly blocked: StaticDomain;
}

/**
 * The host's IOMMU subsystem: units of any vendors, the devices behind them, and their groups. It knows no vendor; it
 * checks what callers ask and keeps who is attached to what.
 */
export class IommuSystem {
  readonly #units = new Map<IommuDriver, Statics>();
  readonly #devices = new Set<Device>();
  readonly #listeners = new Set<(fault: ReportedFault) => void>();

  get devices(): readonly Device[] {
    return [...this.#devices];
  }

  /** Brings a unit up. EEXIST: known already; ENODEV, ETIMEDOUT as its probe says. */
  addUnit(driver: IommuDriver): void {
    ensure(!this.#units.has(driver), 'EEXIST', 'the unit is known already');
    driver.probe();
    driver.onFault((record) => this.#report(driver, record));
    driver.onPageRequest?.(new PageRequestRouter(driver, (handle) => this.#deviceOf(handle)));
    this.#units.set(driver, {
      identity: new StaticDomain(driver, driver.identity),
      blocked: new StaticDomain(driver, driver.blocked),
    });
  }

  /** Takes a unit down. ENOENT: not known; EBUSY: devices are still behind it. */
  removeUnit(driver: IommuDriver): void {
    ensure(this.#units.has(driver), 'ENOENT', 'the unit is not known');
    const used = [...this.#devices].some((device) => device.driver === driver);
    ensure(!used, 'EBUSY', 'devices are still behind the unit');
    this.#units.delete(driver);
    driver.onFault(null);
    driver.onPageRequest?.(null);
    driver.release();
  }

  /**
   * Admits a device behind a unit; it starts blocked, in the group its isolation says. A device that joins a group
   * follows the group's domains. ENOENT: unknown unit; EEXIST: a requester id is taken; ENODEV, EINVAL, EBUSY.
   */
  addDevice(driver: IommuDriver, description: DeviceDescription): Device {
    const statics = this.#units.get(driver);
    ensure(statics !== undefined, 'ENOENT', 'the unit is not known');
    this.#checkIds(driver, description);
    const group = this.#groupFor(driver, description) ?? new Group(driver, statics.identity, statics.blocked);
    ensure(group.pasids.length === 0, 'EBUSY', 'the group has PASIDs attached');
    const device = new Device(driver, driver.probeDevice(description), group);
    if (group.domain !== group.blocked) this.#join(device, group);
    group.devices.push(device);
    this.#devices.add(device);
    return device;
  }

  /** Lets a device go. ENOENT: unknown. A last device leaves its group's domains first. */
  removeDevice(device: Device): void {
    ensure(this.#devices.has(device), 'ENOENT', 'the device is not known');
    const { group } = device;
    if (group.devices.length === 1) for (const pasid of [...group.pasids, 0]) group.detach(pasid);
    else this.#leave(device, group);
    group.devices.splice(group.devices.indexOf(device), 1);
    this.#devices.delete(device);
    device.driver.releaseDevice(device.handle);
  }

  /** Calls `listener` for every fault any unit reports; returns the way to stop. */
  onFault(listener: (fault: ReportedFault) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #checkIds(driver: IommuDriver, { requesterIds, name }: DeviceDescription): void {
    ensure(requesterIds.length > 0, 'EINVAL', `${name} has no requester id`);
    for (const id of requesterIds) {
      ensure(this.#owner(driver, id) === null, 'EEXIST', `requester id 0x${id.toString(16)} is taken`);
    }
  }

  #groupFor(driver: IommuDriver, { isolation }: DeviceDescription): Group | undefined {
    if (isolation === null) return undefined;
    const peer = [...this.#devices].find((d) => d.driver === driver && d.description.isolation === isolation);
    return peer?.group;
  }

  #join(device: Device, group: Group): void {
    try {
      group.domain.ops.attach(device.handle, group.blocked.ops);
    } catch (error) {
      device.driver.releaseDevice(device.handle);
      throw error;
    }
  }

  #leave(device: Device, group: Group): void {
    for (const pasid of group.pasids) {
      group.blocked.ops.attachPasid?.(device.handle, pasid, group.domainOf(pasid).ops);
    }
    group.blocked.ops.attach(device.handle, group.domain.ops);
  }

  #deviceOf(handle: DeviceHandle): Device | null {
    for (const device of this.#devices) if (device.handle === handle) return device;
    return null;
  }

  #owner(driver: IommuDriver, id: number): Device | null {
    for (const device of this.#devices) {
      if (device.driver === driver && device.description.requesterIds.includes(id)) return device;
    }
    return null;
  }

  #report(driver: IommuDriver, record: FaultRecord): void {
    const fault = { driver, device: this.#owner(driver, record.device), record };
    for (const listener of this.#listeners) listener(fault);
  }
}
