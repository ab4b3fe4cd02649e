import { addr, layout, uint } from '@iommukit/bits';

/** Command codes (README, "Commands"). */
export const OP = { INV_DEVICE: 1, INV_SLOT: 2, INV_TAG: 3, INV_RANGE: 4, INV_GUEST: 5, INV_GUEST_RANGE: 6 } as const;

export const OP_NAMES: Readonly<Record<number, string>> = {
  1: 'INV_DEVICE',
  2: 'INV_SLOT',
  3: 'INV_TAG',
  4: 'INV_RANGE',
  5: 'INV_GUEST',
  6: 'INV_GUEST_RANGE',
};

/** INV_DEVICE, INV_SLOT. */
export const CONTEXT_COMMAND = layout('CONTEXT_COMMAND', 'README Commands', 128, {
  OP: uint(7, 0, OP_NAMES),
  DEVICE: uint(63, 32),
  PASID: uint(83, 64),
});

/** INV_TAG, INV_RANGE, INV_GUEST, INV_GUEST_RANGE. */
export const TRANSLATION_COMMAND = layout('TRANSLATION_COMMAND', 'README Commands', 128, {
  OP: uint(7, 0, OP_NAMES),
  TAG: uint(31, 16),
  GTAG: uint(47, 32),
  /** Pages less one. */
  COUNT: uint(63, 48),
  ADDR: addr(64 + 63, 64 + 12),
});

/** What a guest writes; the host's driver puts TAG and GTAG to it. */
export const GUEST_COMMAND = layout('GUEST_COMMAND', 'README Nesting', 128, {
  OP: uint(7, 0, OP_NAMES),
  /** The guest's own id of a device; zero where commands are aimed at a domain. */
  VDEVICE: uint(31, 16),
  COUNT: uint(63, 48),
  ADDR: addr(64 + 63, 64 + 12),
});

/** Data of a nested domain: where the guest's table is, as the guest sees it. */
export const NESTED_DATA = layout('NESTED_DATA', 'README Nesting', 128, {
  GROOT: addr(51, 12),
});

/** Tag of the toy's native data types; the real vendors' numbers are small. */
export const TOY_DATA_TYPE = 0x746f79;
