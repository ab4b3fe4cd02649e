import { bytesToWords } from '@iommukit/bits';
import { PROT, type ReservedRegion } from '@iommukit/core';
import {
  PROPERTY,
  PROPERTY_HEADER,
  PROPERTY_HEADER_BYTES,
  RESV_MEM,
  RESV_MEM_LENGTH,
  RESV_SUBTYPE,
} from '../format/properties.ts';

const HEADER_RESERVED = 0xf000;

/**
 * The regions in a PROBE's property area. The list ends at type NONE or with the area; a property whose reserved type
 * bits are set, whose type is unknown, or which is cut off is skipped by its length. An unknown subtype is RESERVED.
 */
export function parseProperties(area: Uint8Array): ReservedRegion[] {
  const regions: ReservedRegion[] = [];
  for (let at = 0; at + PROPERTY_HEADER_BYTES <= area.length; ) {
    const words = bytesToWords(area.subarray(at));
    const { type, length } = PROPERTY_HEADER.decode(words);
    if (type === PROPERTY.NONE) break;
    const clean = (words[0]! & HEADER_RESERVED) === 0;
    const whole = at + PROPERTY_HEADER_BYTES + length <= area.length;
    if (clean && whole && type === PROPERTY.RESV_MEM && length >= RESV_MEM_LENGTH) {
      const region = regionOf(words);
      if (region) regions.push(region);
    }
    at += PROPERTY_HEADER_BYTES + length;
  }
  return regions;
}

function regionOf(words: Uint32Array): ReservedRegion | null {
  const { subtype, start, end } = RESV_MEM.decode(words);
  if (end < start) return null;
  return { start, last: end, prot: 0, type: subtype === RESV_SUBTYPE.MSI ? 'msi' : 'reserved' };
}

/** Where doorbells go when the device names no MSI region: the window Linux reserves for mapping them itself. */
export const SW_MSI_REGION: ReservedRegion = {
  start: 0x0800_0000n,
  last: 0x080f_ffffn,
  prot: PROT.WRITE | PROT.NOEXEC | PROT.MMIO,
  type: 'sw-msi',
};
