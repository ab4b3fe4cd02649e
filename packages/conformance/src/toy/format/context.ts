import { addr, flag, layout, uint } from '@iommukit/bits';

/** One word a requester id in the device table (README, "From a request to a context"). */
export const DEVICE_ENTRY = layout('DEVICE_ENTRY', 'README Contexts', 64, {
  V: flag(0),
  SLOTS: addr(51, 12),
});

/** One word a PASID in a device's page of slots; slot 0 serves requests without PASID. */
export const SLOT = layout('SLOT', 'README Contexts', 64, {
  V: flag(0),
  CONTEXT: addr(51, 6),
});
export const SLOT_COUNT = 512;

/** Where a slot points: one a domain, so that a switch of domains is a single 64-bit write. */
export const CONTEXT = layout('CONTEXT', 'README Contexts', 256, {
  V: flag(0),
  MODE: uint(2, 1, { 0: 'BYPASS', 1: 'TRANSLATE', 2: 'NESTED' }),
  SNOOP: flag(3),
  DIRTY: flag(4),
  TAG: uint(31, 16),
  GTAG: uint(47, 32),
  ROOT: addr(64 + 51, 64 + 12),
  GROOT: addr(128 + 51, 128 + 12),
});

export const MODE = { BYPASS: 0, TRANSLATE: 1, NESTED: 2 } as const;
