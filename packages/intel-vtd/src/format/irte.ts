import { flag, layout, uint } from '@iommukit/bits';

const SOURCE = { SID: uint(79, 64), SQ: uint(81, 80), SVT: uint(83, 82) } as const;

/** Remapped interrupt (IM=0). Bits 11:8 are software's. */
export const IRTE = layout(
  'irte',
  'VT-d 9.10',
  128,
  {
    P: flag(0),
    FPD: flag(1),
    DM: flag(2),
    RH: flag(3),
    TM: flag(4),
    DLM: uint(7, 5),
    IM: flag(15),
    V: uint(23, 16),
    DST: uint(63, 32),
    ...SOURCE,
  },
  { ignored: [[11, 8]] },
);

/** Posted interrupt (IM=1); the descriptor's address lies in two parts. */
export const IRTE_POSTED = layout(
  'irte-posted',
  'VT-d 9.11',
  128,
  {
    P: flag(0),
    FPD: flag(1),
    URG: flag(14),
    IM: flag(15),
    V: uint(23, 16),
    'PDA[31:6]': uint(63, 38),
    ...SOURCE,
    'PDA[63:32]': uint(127, 96),
  },
  { ignored: [[11, 8]] },
);
export const IRTE_BYTES = 16;
