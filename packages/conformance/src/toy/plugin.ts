import type {
  Capability,
  DriverPorts,
  HardwarePorts,
  UnitDescription,
  VendorConfig,
  VendorPlugin,
} from '@iommukit/core';
import { toyDecoder } from './decoder.ts';
import { ToyDriver } from './driver/driver.ts';
import { CODE_NAMES } from './format/events.ts';
import { EVENT_IRQ } from './format/registers.ts';
import { toyGuest } from './guest.ts';
import { EVERYTHING, NOTHING, type ToyHardwareConfig } from './hardware/config.ts';
import { ToyHardware } from './hardware/hardware.ts';

const ALL: readonly Capability[] = [
  'nest-parent',
  'viommu',
  'pasid',
  'dirty-tracking',
  'hw-info',
  'enforce-cache-coherency',
  'write-only-mapping',
  'execute-permission',
  'large-pages',
  'reports-blocked',
  'identity-passthrough',
];

const config = (
  name: string,
  title: string,
  hardware: ToyHardwareConfig,
  declared: readonly Capability[],
): VendorConfig<ToyHardwareConfig> => ({ name, title, hardware, properties: {}, interrupts: [EVENT_IRQ], declared });

const EVERY = config('everything', 'every capability, nesting through a vIOMMU', EVERYTHING, ALL);
const NONE = config('nothing', 'no optional capability', NOTHING, []);
const ON_PARENT = config(
  'on-parent',
  'every capability, nesting directly on the parent',
  { ...EVERYTHING, nesting: 'on-parent' },
  ALL.map((name) => (name === 'viommu' ? 'nested-on-parent' : name)),
);

const toy = (configs: readonly VendorConfig[], virtual: boolean): VendorPlugin => ({
  id: 'toy',
  title: 'Toy IOMMU',
  configs,
  createHardware: (ports: HardwarePorts, { hardware }: VendorConfig) =>
    new ToyHardware(ports, hardware as ToyHardwareConfig),
  createDriver: (ports: DriverPorts, unit: UnitDescription) => new ToyDriver(ports, unit),
  decoder: toyDecoder,
  faultName: (code) => (code === -1 ? 'ABORT' : (CODE_NAMES[code] ?? 'UNKNOWN')),
  guest: toyGuest(virtual),
});

export const toyVendor: VendorPlugin = toy([EVERY, NONE], true);

/** The same unit as a vendor that nests directly on the parent: a guest kit belongs to one flavour. */
export const toyOnParent: VendorPlugin = { ...toy([ON_PARENT], false), id: 'toy-on-parent' };
