import { big, flag, layout, uint } from '@iommukit/bits';

/** Event codes (README, "Events"). */
export const CODE = {
  BLOCKED: 1,
  BAD_DEVICE: 2,
  BAD_PASID: 3,
  BAD_CONTEXT: 4,
  FETCH_ABORT: 5,
  NOT_PRESENT: 6,
  ADDRESS_SIZE: 7,
  PERMISSION: 8,
  BAD_ENTRY: 9,
  UNSUPPORTED: 10,
} as const;
export type Code = (typeof CODE)[keyof typeof CODE];

export const CODE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(CODE).map(([name, code]) => [code, name]),
);

export const EVENT = layout('EVENT', 'README Events', 256, {
  CODE: uint(7, 0, CODE_NAMES),
  ACCESS: uint(9, 8, { 0: 'read', 1: 'write', 2: 'execute' }),
  PASIDV: flag(10),
  PASID: uint(51, 32),
  DEVICE: uint(95, 64),
  IOVA: big(191, 128),
});
