import { addr, big, flag, layout, uint } from '@iommukit/bits';

/** Manual 3: the device table is one page of these, indexed by requester id. */
export const DEVICE_ENTRY = layout('DEVICE_ENTRY', 'TS1 3', 64, {
  MODE: uint(1, 0, { 0: 'BLOCK', 1: 'BYPASS', 2: 'TRANSLATE' }),
  ROOT: addr(51, 12),
});
export const MODE = { BLOCK: 0, BYPASS: 1, TRANSLATE: 2 } as const;
export const DEVICES = 512;

/** Manual 4: an entry of any of the three table levels. W counts at the last one. */
export const PTE = layout('PTE', 'TS1 4', 64, { P: flag(0), W: flag(1), ADDR: addr(51, 12) });

/** Manual 5: commands. */
export const OP = { INV_DEVICE: 1, INV_ROOT: 2 } as const;
export const INV_DEVICE = layout('INV_DEVICE', 'TS1 5.1', 64, { OP: uint(1, 0), DEVICE: uint(20, 12) });
export const INV_ROOT = layout('INV_ROOT', 'TS1 5.2', 64, { OP: uint(1, 0), ROOT: addr(51, 12) });

/** Manual 6: fault codes. 0 stands in no record. */
export const CODE = {
  NONE: 0,
  NO_DEVICE: 1,
  BLOCKED: 2,
  BAD_ENTRY: 3,
  FETCH: 4,
  ADDRESS: 5,
  NOT_PRESENT: 6,
  BAD_PTE: 7,
  PERMISSION: 8,
  PASID: 9,
  ATS: 10,
} as const;
export type Code = (typeof CODE)[keyof typeof CODE];
export const CODE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(CODE).map(([name, code]) => [code, name]),
);

/** Manual 6: a record of the fault log. */
export const RECORD = layout('RECORD', 'TS1 6', 128, {
  CODE: uint(3, 0, CODE_NAMES),
  ACCESS: uint(5, 4, { 0: 'READ', 1: 'WRITE', 2: 'EXECUTE' }),
  DEVICE: uint(63, 32),
  IOVA: big(127, 64),
});
