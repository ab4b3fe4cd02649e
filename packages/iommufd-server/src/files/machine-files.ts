import { type Device, IommuError, IommuSystem, isIommuError, type VendorPlugin } from '@iommukit/core';
import { IommufdFile, type OpenFile, VfioDeviceFile } from '@iommukit/iommufd';
import { Machine, type Unit } from '@iommukit/machine';
import type { DeviceEntry, MachineDescription, UnitEntry } from '../machine/description.ts';
import { DescriptionError } from '../machine/plain.ts';
import { CONTEXT_PATH, type FileProvider } from './provider.ts';

export const DEVICE_DIRECTORY = '/dev/vfio/devices/';

/**
 * A simulated machine's files: `/dev/iommu`, and for each device `/dev/vfio/devices/<name>` with the requests of VFIO's
 * device interface that bind and attach it.
 */
export class MachineFiles implements FileProvider {
  readonly machine: Machine;
  readonly system = new IommuSystem();
  readonly #units = new Map<string, Unit>();
  readonly #devices = new Map<string, Device>();

  /** Throws {@link DescriptionError} for an unknown vendor or configuration, and for what a vendor refuses. */
  constructor(description: MachineDescription, vendors: readonly VendorPlugin[]) {
    this.machine = new Machine({ schedule: description.schedule });
    for (const [i, unit] of description.units.entries()) refused(`units[${i}]`, () => this.#addUnit(unit, vendors));
    for (const [i, device] of description.devices.entries()) refused(`devices[${i}]`, () => this.#addDevice(device));
  }

  get devices(): readonly string[] {
    return [...this.#devices.keys()];
  }

  open(path: string | null): OpenFile {
    if (path === null || path === CONTEXT_PATH) return new IommufdFile();
    const device = path.startsWith(DEVICE_DIRECTORY) && this.#devices.get(path.slice(DEVICE_DIRECTORY.length));
    if (!device) throw new IommuError('ENOENT', `no file ${path}`);
    return new VfioDeviceFile(device);
  }

  #addUnit({ id, vendor, config, hostAddressBits, mmioBase }: UnitEntry, vendors: readonly VendorPlugin[]): void {
    const plugin = vendors.find((each) => each.id === vendor);
    const known = vendors.map((each) => each.id).join(', ');
    if (!plugin) throw new DescriptionError(`no vendor '${vendor}'; there are ${known}`);
    const chosen = plugin.configs.find(({ name }) => config === null || name === config);
    const names = plugin.configs.map(({ name }) => name).join(', ');
    if (!chosen) throw new DescriptionError(`no config '${config}' of ${vendor}; there are ${names}`);
    const unit = this.machine.addUnit(plugin, chosen, { id, hostAddressBits, ...(mmioBase !== null && { mmioBase }) });
    this.system.addUnit(unit.driver);
    this.#units.set(id, unit);
  }

  #addDevice({ unit: id, ...description }: DeviceEntry): void {
    const unit = this.#units.get(id)!;
    const { description: whole } = unit.endpoint(description);
    this.#devices.set(whole.name, this.system.addDevice(unit.driver, whole));
  }
}

function refused(where: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    const expected = error instanceof DescriptionError || error instanceof RangeError || isIommuError(error);
    if (!expected) throw error;
    throw new DescriptionError(`${where}: ${error.message}`);
  }
}
