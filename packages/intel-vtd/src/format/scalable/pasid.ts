import { addr, flag, layout, uint } from '@iommukit/bits';
import { AW_NAMES } from '../root-context.ts';

/** PASID directory: 8-byte entries, by PASID bits 19:6. */
export const PASID_DIRECTORY_ENTRY = layout('pasid-directory-entry', 'VT-d 9.5', 64, {
  P: flag(0),
  FPD: flag(1),
  SMPTBLPTR: addr(63, 12),
});
export const PASID_DIRECTORY_ENTRY_BYTES = 8;

export const PGTT = { FIRST_STAGE: 1, SECOND_STAGE: 2, NESTED: 3, PASS_THROUGH: 4 } as const;
export const FSPM = { LEVELS_4: 0, LEVELS_5: 1 } as const;

/**
 * PASID table: 64 entries of 64 bytes, by PASID bits 5:0. Bits 134:133 once were NXE and SMEP and are ignored now.
 * The HPT fields lie here although no configuration has host permission tables.
 */
export const PASID_ENTRY = layout(
  'pasid-entry',
  'VT-d 9.6',
  512,
  {
    P: flag(0),
    FPD: flag(1),
    AW: uint(4, 2, AW_NAMES),
    PGTT: uint(8, 6, { 1: 'FIRST_STAGE', 2: 'SECOND_STAGE', 3: 'NESTED', 4: 'PASS_THROUGH' }),
    SSADE: flag(9),
    SSPTPTR: addr(63, 12),
    DID: uint(79, 64),
    PWSNP: flag(87),
    PGSNP: flag(88),
    CD: flag(89),
    EMTE: flag(90),
    PAT: uint(127, 96),
    SRE: flag(128),
    FSPM: uint(131, 130, { 0: '4_LEVEL', 1: '5_LEVEL' }),
    WPE: flag(132),
    EAFE: flag(135),
    FSPTPTR: addr(191, 140),
    HPTSZ: uint(257, 256),
    HPTPFD: flag(258),
    HPTPTR: addr(319, 268),
    HPTDID: uint(335, 320),
  },
  { ignored: [[134, 133]] },
);
export const PASID_ENTRY_BYTES = 64;
