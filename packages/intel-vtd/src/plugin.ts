import { type VendorConfig, type VendorPlugin, vendorModule } from '@iommukit/core';
import { VTD_CONFIGS } from './config.ts';
import { vtdDecoder } from './decode/decoder.ts';
import { faultName } from './decode/names.ts';
import { createVtdDriver } from './driver/driver.ts';
import { vtdDump } from './dump/reader.ts';
import { vtdGuestKit } from './guest/guest-kit.ts';
import { VtdHardware, type VtdHardwareConfig } from './hardware/hardware.ts';

/** Intel VT-d, both halves, in legacy and scalable mode. */
export const intelVtd: VendorPlugin = {
  id: 'intel-vtd',
  title: 'Intel VT-d',
  configs: VTD_CONFIGS,
  createHardware: (ports, config: VendorConfig) => new VtdHardware(ports, config.hardware as VtdHardwareConfig),
  createDriver: createVtdDriver,
  decoder: vtdDecoder,
  faultName,
  dump: vtdDump,
  guest: vtdGuestKit,
};

/** The same as a container module. */
export const intelVtdModule = vendorModule(intelVtd);
