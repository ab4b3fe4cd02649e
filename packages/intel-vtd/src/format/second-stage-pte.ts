import { addr, flag, layout, uint } from '@iommukit/bits';

/**
 * Second-stage paging entries (VT-d's own format), 3, 4 or 5 levels of 512 entries. The manual's names from the leaf
 * up: SS-PTE (level 1), SS-PDE, SS-PDPE, SS-PML4E, SS-PML5E (level 5). An entry with R=W=0 is not present.
 * Bits 10, 60:52 and 63 are software's; so is bit 2, once the execute right. Bit 62 is reserved unless SSIRWE is on.
 */
export const SECOND_STAGE_PTE = layout(
  'second-stage-pte',
  'VT-d 9.8',
  64,
  {
    R: flag(0),
    W: flag(1),
    EMT: uint(5, 3),
    IPAT: flag(6),
    PS: flag(7),
    A: flag(8),
    D: flag(9),
    SNP: flag(11),
    ADDR: addr(51, 12),
    IR: flag(61),
    IW: flag(62),
  },
  {
    ignored: [
      [2, 2],
      [10, 10],
      [60, 52],
      [63, 63],
    ],
  },
);
