import { type VendorPlugin, vendorModule } from '@iommukit/core';
import { decoder } from './decoder.ts';
import { TurnstileDriver } from './driver/driver.ts';
import { CODE_NAMES } from './format/structures.ts';
import { TurnstileHardware } from './hardware/hardware.ts';

export const turnstile: VendorPlugin = {
  id: 'turnstile',
  title: 'Turnstile TS1',
  configs: [
    {
      name: 'default',
      title: 'as shipped',
      hardware: {},
      properties: {},
      interrupts: ['fault'],
      declared: ['identity-passthrough', 'reports-blocked'],
    },
  ],
  createHardware: (ports) => new TurnstileHardware(ports),
  createDriver: (ports, unit) => new TurnstileDriver(ports, unit),
  decoder,
  faultName: (code) => (code === -1 ? 'ABORT' : (CODE_NAMES[code] ?? 'UNKNOWN')),
};

export const turnstileModule = vendorModule(turnstile);
