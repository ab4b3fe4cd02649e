import { addr, flag, layout } from '@iommukit/bits';

/** A table entry (README, "Tables"). Host and guest tables share the format. */
export const PTE = layout('PTE', 'README Tables', 64, {
  P: flag(0),
  LEAF: flag(1),
  R: flag(2),
  W: flag(3),
  X: flag(4),
  DIRTY: flag(5),
  ADDR: addr(51, 12),
});

export const PTE_BITS = { P: 1, LEAF: 2, R: 4, W: 8, X: 16, DIRTY: 32 } as const;

/** Bits of either half that no field owns. */
export const PTE_RESERVED = { HI: 0xfff0_0000 | 0, LO: 0xfc0 } as const;

export const PAGE_LG2 = 12;
export const LEVELS = 3;
export const INDEX_BITS = 9;
/** Input addresses have 39 bits. */
export const INPUT_BITS = PAGE_LG2 + LEVELS * INDEX_BITS;
