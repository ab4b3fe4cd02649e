import type { DeviceDescription, DeviceHandle, ReservedRegion } from '@iommukit/core';
import type { Place } from './place.ts';
import type { Unit } from './unit.ts';

/** A device the driver admitted. */
export class VirtioDevice implements DeviceHandle {
  readonly unit: Unit;
  readonly description: DeviceDescription;
  /** No PASIDs exist in this architecture. */
  readonly maxPasids = 0;
  readonly reserved: readonly ReservedRegion[];
  /** Where the device has this device's endpoints; null = detached. */
  place: Place | null = null;

  constructor(unit: Unit, description: DeviceDescription, reserved: readonly ReservedRegion[]) {
    this.unit = unit;
    this.description = description;
    this.reserved = reserved;
  }
}
