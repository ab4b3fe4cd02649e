import { addr, flag, layout, uint } from '@iommukit/bits';

/** Scalable-mode root table: 256 entries of 16 bytes; the lower table serves devfn 0-127, the upper 128-255. */
export const SCALABLE_ROOT_ENTRY = layout('scalable-root-entry', 'VT-d 9.2', 128, {
  LP: flag(0),
  LCTP: addr(63, 12),
  UP: flag(64),
  UCTP: addr(127, 76),
});

/** Scalable-mode context tables: 128 entries of 32 bytes each. PDTS gives a directory of 2^(PDTS+7) entries. */
export const SCALABLE_CONTEXT_ENTRY = layout('scalable-context-entry', 'VT-d 9.4', 256, {
  P: flag(0),
  FPD: flag(1),
  DTE: flag(2),
  PASIDE: flag(3),
  PRE: flag(4),
  HPTE: flag(5),
  EPTR: flag(6),
  PDTS: uint(11, 9),
  PASIDDIRPTR: addr(63, 12),
  RID_PASID: uint(83, 64),
  RID_PRIV: flag(84),
});
export const SCALABLE_CONTEXT_ENTRY_BYTES = 32;
