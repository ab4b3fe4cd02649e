import type { DeviceDescription, ReservedRegion, UnitDescription } from '@iommukit/core';
import { PROT } from '@iommukit/core';

/** Where software lets message interrupts arrive, since the hardware has no window for them. */
const MSI_WINDOW: ReservedRegion = { start: 0x800_0000n, last: 0x80f_ffffn, prot: PROT.WRITE, type: 'sw-msi' };

export function reservedRegions(unit: UnitDescription, device: DeviceDescription): ReservedRegion[] {
  const asked = unit.reservations
    .filter(({ devices }) => devices.some((id) => device.requesterIds.includes(id)))
    .map(({ start, last, relaxable }): ReservedRegion => {
      return { start, last, prot: PROT.READ | PROT.WRITE, type: relaxable ? 'direct-relaxable' : 'direct' };
    });
  return [...asked, MSI_WINDOW];
}
