import { addr, type Field, type Fields, flag, type Layout, layout, uint } from '@iommukit/bits';

/**
 * VMSAv8-64 descriptors (Arm ARM D8.3; IHI 0070 3.4 and 13). Levels are the manual's: 0 (or -1) at the root, 3 at
 * the leaf. Bits 1:0 say what an entry is: x0 nothing, 01 a block (levels 0..2), 11 a table, or at level 3 a page.
 */
export const DESCRIPTOR = { INVALID: 0, BLOCK: 1, TABLE: 3, PAGE: 3 } as const;

const SPEC = 'Arm ARM D8.3';

const S1_LOW = {
  Type: uint(1, 0),
  AttrIndx: uint(4, 2),
  NS: flag(5),
  /** AP[1]: 1 = unprivileged may access. */
  AP1: flag(6),
  /** AP[2]: 1 = read-only. */
  AP2: flag(7),
  SH: uint(9, 8),
  AF: flag(10),
  nG: flag(11),
};
const S1_HIGH = {
  DBM: flag(51),
  Contiguous: flag(52),
  PXN: flag(53),
  UXN: flag(54),
  SW: uint(58, 55),
  PBHA: uint(62, 59),
};
const S2_LOW = {
  Type: uint(1, 0),
  MemAttr: uint(5, 2),
  /** S2AP[0]: readable; S2AP[1]: writable. */
  S2AP: uint(7, 6, { 0: 'none', 1: 'r', 2: 'w', 3: 'rw' }),
  SH: uint(9, 8),
  AF: flag(10),
};
const S2_HIGH = {
  DBM: flag(51),
  Contiguous: flag(52),
  XN: uint(54, 53, { 0: 'exec', 1: 'EL0', 2: 'none', 3: 'EL1' }),
  SW: uint(58, 55),
  PBHA: uint(62, 59),
};

/** With 64 KiB granules and 52-bit addresses, bits 15:12 carry address bits 51:48. */
const HIGH_ADDRESS = { OA_51_48: uint(15, 12) };

const PAGE = { OA: addr(47, 12) };
const PAGE64 = { OA: addr(47, 16), ...HIGH_ADDRESS };
/** Bits below the block's own size are RES0; nT (BBML 1) is bit 16. */
const BLOCK = { nT: flag(16), OA: addr(47, 21) };
const BLOCK64 = { nT: flag(16), OA: addr(47, 29), ...HIGH_ADDRESS };

const S1_TABLE_HIGH = {
  PXNTable: flag(59),
  XNTable: flag(60),
  /** [1] no write, [0] no unprivileged access. */
  APTable: uint(62, 61),
  NSTable: flag(63),
};

function pte<const A extends Fields, const B extends Fields, const C extends Fields>(
  name: string,
  low: A,
  address: B,
  high: C,
): Layout<A & B & C> {
  return layout(name, SPEC, 64, { ...low, ...address, ...high });
}

const TYPE: { readonly Type: Field<'uint'> } = { Type: uint(1, 0) };
/** Bits 11:2 and 58:51 of a table descriptor are ignored by hardware. */
const NEXT = { Ignored_low: uint(11, 2), NextTable: addr(47, 12), Ignored_high: uint(58, 51) };
const NEXT64 = {
  Ignored_low: uint(11, 2),
  TA_51_48: uint(15, 12),
  NextTable: addr(47, 16),
  Ignored_high: uint(58, 51),
};

export const S1_PAGE = pte('S1_PAGE', S1_LOW, PAGE, S1_HIGH);
export const S1_PAGE64 = pte('S1_PAGE64', S1_LOW, PAGE64, S1_HIGH);
export const S1_BLOCK = pte('S1_BLOCK', S1_LOW, BLOCK, S1_HIGH);
export const S1_BLOCK64 = pte('S1_BLOCK64', S1_LOW, BLOCK64, S1_HIGH);
export const S1_TABLE = pte('S1_TABLE', TYPE, NEXT, S1_TABLE_HIGH);
export const S1_TABLE64 = pte('S1_TABLE64', TYPE, NEXT64, S1_TABLE_HIGH);

export const S2_PAGE = pte('S2_PAGE', S2_LOW, PAGE, S2_HIGH);
export const S2_PAGE64 = pte('S2_PAGE64', S2_LOW, PAGE64, S2_HIGH);
export const S2_BLOCK = pte('S2_BLOCK', S2_LOW, BLOCK, S2_HIGH);
export const S2_BLOCK64 = pte('S2_BLOCK64', S2_LOW, BLOCK64, S2_HIGH);
export const S2_TABLE = pte('S2_TABLE', TYPE, NEXT, {});
export const S2_TABLE64 = pte('S2_TABLE64', TYPE, NEXT64, {});
/** What bits 1:0 = x0 make of an entry: hardware looks at nothing else. */
export const INVALID_DESCRIPTOR = layout('INVALID', SPEC, 64, TYPE);
