import { ensure } from '@iommukit/core';
import type { DeviceObject } from './device.ts';
import { IommufdObject } from './object.ts';
import type { ViommuObject } from './viommu.ts';

/** A device as one guest knows it: its id on the vIOMMU. Unbinding the device takes it away and leaves the id dead. */
export class VdeviceObject extends IommufdObject {
  readonly type = 'vdevice';
  readonly viommu: ViommuObject;
  readonly virtualId: bigint;
  readonly device: DeviceObject;

  private constructor(viommu: ViommuObject, device: DeviceObject, virtualId: bigint) {
    super(viommu.context);
    this.viommu = viommu;
    this.device = device;
    this.virtualId = virtualId;
  }

  /** EINVAL: device of another unit; ENOENT: being unbound; EEXIST: the device has one, or the id is taken. */
  static create(viommu: ViommuObject, device: DeviceObject, virtualId: bigint): VdeviceObject {
    ensure(device.device.driver === viommu.viommu.owner, 'EINVAL', 'the device sits behind another IOMMU');
    ensure(!device.destroying, 'ENOENT', 'the device is being unbound');
    ensure(device.vdevice === null, 'EEXIST', 'the device has a vDEVICE');
    ensure(!viommu.vdevices.has(virtualId), 'EEXIST', `virtual id ${virtualId} is taken`);
    viommu.context.injector.use('alloc');
    viommu.context.injector.use('vendor');
    viommu.viommu.setVirtualId(device.device, virtualId);
    const vdevice = new VdeviceObject(viommu, device, virtualId);
    viommu.retain();
    viommu.vdevices.set(virtualId, vdevice);
    device.vdevice = vdevice;
    return vdevice;
  }

  /** The device goes: this object, too, and its id answers ENOENT until the file is closed. */
  revoke(): void {
    this.context.table.bury(this);
    this.dispose();
  }

  dispose(): void {
    this.viommu.viommu.clearVirtualId(this.device.device);
    this.viommu.vdevices.delete(this.virtualId);
    this.device.vdevice = null;
    this.viommu.release();
  }
}
