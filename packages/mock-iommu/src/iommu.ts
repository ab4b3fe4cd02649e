import { type Device, type DmaPages, IommuSystem } from '@iommukit/core';
import { DEVICE_NO_DIRTY, DEVICE_PASID, MOCK_PASID_WIDTH } from './abi.ts';
import type { MockDeviceDescription } from './device.ts';
import { MockDriver } from './driver.ts';

export interface MockIommuOptions {
  /** Memory for the pages a vIOMMU exports and for dma-bufs. */
  readonly pages: DmaPages;
  /** How often the host page at a physical address is pinned now, over all open files. */
  readonly pins: (pa: bigint) => number;
  /** Default: one of its own. */
  readonly system?: IommuSystem;
}

/** The one mock IOMMU of a machine, with the devices that test commands make. All open files share it. */
export class MockIommu {
  readonly driver: MockDriver;
  readonly system: IommuSystem;
  readonly pins: (pa: bigint) => number;
  #nextId = 0;

  constructor({ pages, pins, system = new IommuSystem() }: MockIommuOptions) {
    this.driver = new MockDriver(pages);
    this.system = system;
    this.pins = pins;
    system.addUnit(this.driver);
  }

  /** A device in a group of its own; `flags` are DEVICE bits. */
  addDevice(flags: number): Device {
    const id = this.#nextId++;
    const description: MockDeviceDescription = {
      name: `iommufd_mock${id}`,
      requesterIds: [id],
      pasidBits: (flags & DEVICE_PASID) !== 0 ? MOCK_PASID_WIDTH : 0,
      noDirty: (flags & DEVICE_NO_DIRTY) !== 0,
      ats: false,
      pri: true,
      coherent: true,
      isolation: null,
      busLimits: [],
    };
    return this.system.addDevice(this.driver, description);
  }

  removeDevice(device: Device): void {
    this.system.removeDevice(device);
  }
}
