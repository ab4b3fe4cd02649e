import {
  type Device,
  IommuSystem,
  type PagingDomain,
  PROT,
  type VendorConfig,
  type VendorPlugin,
} from '@iommukit/core';
import { type Endpoint, Machine, type Unit } from '@iommukit/machine';

export const PAGE = 4096n;
export const RW = PROT.READ | PROT.WRITE;
/** Odd multiple of the page size above any alignment a bench's IOVAs have: only smallest pages can map it. */
export const PA_BASE = 0x1_0000_1000n;
const FIRST_DEVICE = 0x10;

/** One vendor's unit in its default configuration, with a driver, a device and a domain attached. */
export interface Rig {
  readonly plugin: VendorPlugin;
  readonly config: VendorConfig;
  readonly machine: Machine;
  readonly unit: Unit;
  readonly endpoint: Endpoint;
  readonly device: Device;
  /** One more device behind the unit. */
  addDevice(): { endpoint: Endpoint; device: Device };
}

export function makeRig(plugin: VendorPlugin): Rig {
  const config = plugin.configs[0]!;
  const machine = new Machine();
  const unit = machine.addUnit(plugin, config);
  const system = new IommuSystem();
  system.addUnit(unit.driver);
  let next = FIRST_DEVICE;
  const addDevice = () => {
    const endpoint = unit.endpoint({ requesterIds: [next++] });
    return { endpoint, device: system.addDevice(unit.driver, endpoint.description) };
  };
  return { plugin, config, machine, unit, ...addDevice(), addDevice };
}

export function attachedDomain({ device }: Rig): PagingDomain {
  const domain = device.allocPaging();
  device.attach(domain);
  return domain;
}

/** Maps each page alone to a place of its own, in smallest pages. */
export function mapPages(domain: PagingDomain, iovas: readonly bigint[]): void {
  iovas.forEach((iova, at) => {
    domain.map(iova, PA_BASE + BigInt(at) * PAGE, PAGE, RW);
  });
}

/** Maps a run that no larger page can hold. */
export function mapRun(domain: PagingDomain, iova: bigint, pages: number): void {
  domain.map(iova, PA_BASE, BigInt(pages) * PAGE, RW);
}
