import type { FaultRecord, GuestMemory, VendorConfig, VendorPlugin } from '@iommukit/core';
import { type Device, IommuSystem } from '@iommukit/core';
import { type Endpoint, Machine, type Schedule, type Unit } from '@iommukit/machine';
import { createVtdDriver } from '../../src/driver/driver.ts';
import { VtdHardware, type VtdHardwareConfig } from '../../src/hardware/hardware.ts';
import { FIRST_STAGE, FULL, LEGACY, type Registers } from '../driver/scripted-unit.ts';

const CM = 1n << 7n;
const RWBF = 1n << 4n;
const PSI = 1n << 39n;
const QI = 1n << 1n;

/** Units that exercise each way of invalidating. */
export const UNITS: Readonly<Record<string, Registers>> = {
  legacy: LEGACY,
  'legacy, caching mode': { ...LEGACY, cap: LEGACY.cap | CM },
  'legacy, write buffer': { ...LEGACY, cap: LEGACY.cap | RWBF },
  'legacy, no page-selective invalidation': { ...LEGACY, cap: LEGACY.cap & ~PSI },
  'legacy, by registers': { ...LEGACY, ecap: LEGACY.ecap & ~QI },
  'first stage': FIRST_STAGE,
  'first stage, caching mode': { ...FIRST_STAGE, cap: FIRST_STAGE.cap | CM },
  full: FULL,
  'full, caching mode': { ...FULL, cap: FULL.cap | CM },
  'second stage in scalable mode': { ...FULL, ecap: FULL.ecap & ~(1n << 47n) & ~(1n << 26n) },
};

const plugin = (config: VendorConfig<VtdHardwareConfig>): VendorPlugin => ({
  id: 'intel-vtd',
  title: 'VT-d',
  configs: [config],
  createHardware: (ports) => new VtdHardware(ports, config.hardware),
  createDriver: createVtdDriver,
  decoder: { kinds: [], sizes: () => [], decode: () => Promise.reject() as never },
  faultName: String,
});

export interface Board {
  readonly machine: Machine;
  readonly unit: Unit;
  readonly system: IommuSystem;
  readonly faults: FaultRecord[];
  device(sid: number, more?: { pasidBits?: number; ats?: boolean }): { device: Device; endpoint: Endpoint };
  /** Takes everything down and checks that no page is left. */
  down(): number;
}

/** Both halves on one board, the driver up. */
export function board({ cap, ecap, ver = 0x10 }: Registers, schedule: Schedule = 'at-once'): Board {
  const config = {
    name: 'test',
    title: 'test',
    hardware: { version: ver, cap, ecap, hostAddressBits: 46 },
    properties: {},
    interrupts: ['fault'],
    declared: [],
  };
  const machine = new Machine({ schedule });
  const unit = machine.addUnit(plugin(config), config, { hostAddressBits: 46 });
  const system = new IommuSystem();
  system.addUnit(unit.driver);
  const faults: FaultRecord[] = [];
  system.onFault(({ record }) => faults.push(record));
  return {
    machine,
    unit,
    system,
    faults,
    device: (sid, more = {}) => {
      const endpoint = unit.endpoint({ requesterIds: [sid], ...more });
      return { device: system.addDevice(unit.driver, endpoint.description), endpoint };
    },
    down: () => {
      for (const device of system.devices) system.removeDevice(device);
      system.removeUnit(unit.driver);
      return machine.pages.livePages;
    },
  };
}

/** Guest memory that is host memory at an offset. */
export function guestMemory({ machine }: Board, offset: bigint): GuestMemory {
  let next = 0x10_0000n;
  return {
    alloc: (bytes) => {
      const at = next;
      next += BigInt(bytes);
      return at;
    },
    write64: (gpa, value) => {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, value, true);
      machine.memory.writeBytes(gpa + offset, bytes);
    },
    read64: (gpa) => {
      const bytes = new Uint8Array(8);
      machine.memory.readBytes(gpa + offset, bytes);
      return new DataView(bytes.buffer).getBigUint64(0, true);
    },
  };
}
