import { addr, flag, layout, uint } from '@iommukit/bits';

/** Legacy root table: 256 entries of 16 bytes, by bus number. */
export const ROOT_ENTRY = layout('root-entry', 'VT-d 9.1', 128, { P: flag(0), CTP: addr(63, 12) });
export const ROOT_ENTRY_BYTES = 16;

export const TT = { SECOND_STAGE: 0, SECOND_STAGE_ATS: 1, PASS_THROUGH: 2, RESERVED: 3 } as const;

/** AW holds `levels - 2`: 1 = 39 bits, 2 = 48 bits, 3 = 57 bits. */
export const AW_NAMES = { 1: '39_BIT', 2: '48_BIT', 3: '57_BIT' } as const;

/** Legacy context table: 256 entries of 16 bytes, by device and function. Bits 70:67 are software's. */
export const CONTEXT_ENTRY = layout(
  'context-entry',
  'VT-d 9.3',
  128,
  {
    P: flag(0),
    FPD: flag(1),
    TT: uint(3, 2, { 0: 'SECOND_STAGE', 1: 'SECOND_STAGE_ATS', 2: 'PASS_THROUGH', 3: 'RESERVED' }),
    SSPTPTR: addr(63, 12),
    AW: uint(66, 64, AW_NAMES),
    DID: uint(87, 72),
  },
  { ignored: [[70, 67]] },
);
export const CONTEXT_ENTRY_BYTES = 16;
