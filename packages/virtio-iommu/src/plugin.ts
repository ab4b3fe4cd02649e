import { type VendorPlugin, vendorModule } from '@iommukit/core';
import { CONFIGS, hardwareOf } from './config.ts';
import { decoder } from './decode/decoder.ts';
import { VirtioIommuDriver } from './driver/driver.ts';
import { faultName } from './format/events.ts';
import { VirtioIommuDevice } from './hardware/device.ts';
import { replay } from './replay/replay.ts';

export const virtioIommu: VendorPlugin = {
  id: 'virtio-iommu',
  title: 'virtio-iommu (virtio 1.3, device type 23)',
  configs: CONFIGS,
  createHardware: (ports, config) => new VirtioIommuDevice(ports, hardwareOf(config)),
  createDriver: (ports, unit) => new VirtioIommuDriver(ports, unit),
  decoder,
  faultName,
  replay,
};

/** For an inversify container. */
export const virtioIommuModule = vendorModule(virtioIommu);
