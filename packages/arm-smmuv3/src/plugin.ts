import { type VendorConfig, type VendorPlugin, vendorModule } from '@iommukit/core';
import { identification, type SmmuConfig } from './config.ts';
import { CONFIGS } from './configs.ts';
import { decoder } from './decode/decoder.ts';
import { SmmuDriver } from './driver/driver.ts';
import { dumpSupport } from './dump/dump.ts';
import { EVENTS } from './format/events.ts';
import { smmuGuestKit } from './guest/guest-kit.ts';
import { SmmuHardware } from './hardware/hardware.ts';

/** The Arm SMMUv3 vendor. */
export const armSmmuV3: VendorPlugin = {
  id: 'arm-smmuv3',
  title: 'Arm SMMUv3',
  configs: CONFIGS,
  createHardware: (ports, config) =>
    new SmmuHardware(ports, identification((config as VendorConfig<SmmuConfig>).hardware)),
  createDriver: (ports, unit) => new SmmuDriver(ports, unit),
  decoder,
  faultName: (code) => (code < 0 ? 'ABORT' : (EVENTS[code]?.name ?? `0x${code.toString(16)}`)),
  dump: dumpSupport,
  guest: smmuGuestKit,
};

export const armSmmuV3Module = vendorModule(armSmmuV3);
