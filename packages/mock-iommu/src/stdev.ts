import { type Device, ensure } from '@iommukit/core';
import { DeviceObject, type IommufdContext, IommufdObject } from '@iommukit/iommufd';
import { DEVICE_NO_DIRTY, DEVICE_PASID } from './abi.ts';
import type { MockIommu } from './iommu.ts';

/** A mock device together with its binding. A program destroys it by its id, which the real driver would do by itself. */
export class MockStdev extends IommufdObject {
  readonly type = 'selftest';
  readonly iommu: MockIommu;
  #device: Device | null = null;
  #bound: DeviceObject | null = null;

  private constructor(context: IommufdContext, iommu: MockIommu) {
    super(context);
    this.iommu = iommu;
    context.injector.use('alloc');
  }

  /** Makes a device and binds it. EINVAL: unknown flag. It gets the first id, its binding the next. */
  static create(context: IommufdContext, iommu: MockIommu, flags: number): MockStdev {
    const stdev = new MockStdev(context, iommu);
    context.publish(stdev);
    try {
      ensure((flags & ~(DEVICE_NO_DIRTY | DEVICE_PASID)) === 0, 'EINVAL', `flags ${flags}`);
      stdev.#device = iommu.addDevice(flags);
      stdev.#bound = DeviceObject.create(context, stdev.#device);
      return stdev;
    } catch (error) {
      context.destroyObject(stdev);
      throw error;
    }
  }

  get bound(): DeviceObject {
    return this.#bound!;
  }

  dispose(): void {
    this.#bound?.unbind();
    if (this.#device) this.iommu.removeDevice(this.#device);
  }
}
