import { PROT, type ReservedRegion } from '@iommukit/core';
import type { VtdDevice } from './device.ts';

/** DWORD writes without PASID to this window are interrupts and never translated (VT-d 3.14). */
const INTERRUPT_WINDOW: ReservedRegion = { start: 0xfee0_0000n, last: 0xfeef_ffffn, prot: 0, type: 'msi' };

/** The firmware's regions for a device, then the interrupt window that every device has. */
export function reservedRegionsOf({ unit, sids }: VtdDevice): ReservedRegion[] {
  const regions = unit.description.reservations
    .filter(({ devices }) => devices.some((sid) => sids.includes(sid)))
    .map(({ start, last, relaxable }): ReservedRegion => {
      return { start, last, prot: PROT.READ | PROT.WRITE, type: relaxable ? 'direct-relaxable' : 'direct' };
    });
  return [...regions, INTERRUPT_WINDOW];
}
