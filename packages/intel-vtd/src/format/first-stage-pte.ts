import { addr, flag, layout } from '@iommukit/bits';

/**
 * First-stage paging entries (the x86-64 format), 4 or 5 levels of 512 entries. The manual's names from the leaf up:
 * FS-PTE (level 1), FS-PDE, FS-PDPE, FS-PML4E, FS-PML5E (level 5). D and PAT exist in leaves only; PS is PAT in an
 * FS-PTE. EA counts only where the PASID entry sets EAFE. The remaining bits below 12 and above 51 are ignored.
 */
export const FIRST_STAGE_PTE = layout(
  'first-stage-pte',
  'VT-d 9.7',
  64,
  {
    P: flag(0),
    RW: flag(1),
    US: flag(2),
    PWT: flag(3),
    PCD: flag(4),
    A: flag(5),
    D: flag(6),
    PS: flag(7),
    G: flag(8),
    EA: flag(10),
    ADDR: addr(51, 12),
  },
  {
    ignored: [
      [9, 9],
      [11, 11],
      [63, 52],
    ],
  },
);
