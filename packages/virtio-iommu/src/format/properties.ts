import { big, layout, uint } from '@iommukit/bits';

/** Types of PROBE properties. Virtio 1.3 §5.13.6.8. */
export const PROPERTY = { NONE: 0, RESV_MEM: 1 } as const;

/** What kind of region a RESV_MEM describes; an unknown subtype counts as RESERVED. */
export const RESV_SUBTYPE = { RESERVED: 0, MSI: 1 } as const;
export type ResvSubtypeName = keyof typeof RESV_SUBTYPE;

/** Bits 15:12 of the type are reserved and zero. `length` counts the value's bytes, this header not included. */
export const PROPERTY_HEADER = layout('property', 'virtio 1.3 5.13.6.8', 32, {
  type: uint(11, 0, { 0: 'NONE', 1: 'RESV_MEM' }),
  length: uint(31, 16),
});
export const PROPERTY_HEADER_BYTES = 4;

/** The whole property, header included; `end` is inclusive. */
export const RESV_MEM = layout('RESV_MEM', 'virtio 1.3 5.13.6.8.1', 192, {
  type: uint(11, 0, { 1: 'RESV_MEM' }),
  length: uint(31, 16),
  subtype: uint(39, 32, { 0: 'RESERVED', 1: 'MSI' }),
  start: big(127, 64),
  end: big(191, 128),
});
export const RESV_MEM_BYTES = 24;
/** Value of `length` in a RESV_MEM. */
export const RESV_MEM_LENGTH = 20;
