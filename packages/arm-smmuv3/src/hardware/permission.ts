/**
 * What a page allows, as one word of a cached translation: stage 1 by privilege, stage 2, and what else a hit needs.
 * IHI 0070 3.4 and 5.4; Arm ARM D8.4.
 */
export const RIGHTS = {
  S1_READ: 1 << 0,
  S1_WRITE: 1 << 1,
  S1_EXECUTE: 1 << 2,
  S1_PRIV_READ: 1 << 3,
  S1_PRIV_WRITE: 1 << 4,
  S1_PRIV_EXECUTE: 1 << 5,
  S2_READ: 1 << 6,
  S2_WRITE: 1 << 7,
  S2_EXECUTE: 1 << 8,
  S2_PRIV_EXECUTE: 1 << 9,
  /** Stage 2 says Device memory. */
  S2_DEVICE: 1 << 10,
  NOT_GLOBAL: 1 << 11,
} as const;

/** All of stage 1, for translations that stage 1 has no say in. */
export const STAGE1_ALL = 0x3f;
/** All of stage 2, likewise. */
export const STAGE2_ALL = 0x3c0;

/** What of a context descriptor decides about stage-1 rights. */
export const S1_CONTROL = { PAN: 1, EPAN: 2, WXN: 4, EL2: 8, HD: 16 } as const;

// V8 folds a module's own constants into the code and loads exported ones every time.
const BITS = RIGHTS;
const CONTROL = S1_CONTROL;

const AP1 = 1 << 6;
const AP2 = 1 << 7;
const NG = 1 << 11;
/** In the high half of a descriptor. */
const DBM = 1 << (51 - 32);
const PXN = 1 << (53 - 32);
const UXN = 1 << (54 - 32);
const PXN_TABLE = 1 << (59 - 32);
const XN_TABLE = 1 << (60 - 32);
const NO_UNPRIVILEGED_TABLE = 1 << (61 - 32);
const NO_WRITE_TABLE = 1 << (62 - 32);

/**
 * Stage-1 rights of a leaf. `tables` is the OR of the high halves of the table descriptors above it (0 when HADx
 * makes them count for nothing), `control` the {@link S1_CONTROL} bits.
 */
export function stage1Rights(lo: number, hi: number, tables: number, control: number): number {
  const clean = (hi & DBM) !== 0 && (control & CONTROL.HD) !== 0;
  const writable = ((lo & AP2) === 0 || clean) && (tables & NO_WRITE_TABLE) === 0;
  const unprivilegedNever = (hi & UXN) !== 0 || (tables & XN_TABLE) !== 0;
  const wxn = (control & CONTROL.WXN) !== 0;
  if ((control & CONTROL.EL2) !== 0) {
    const execute = !unprivilegedNever && !(wxn && writable);
    return (writable ? 0x12 : 0) | (execute ? 0x24 : 0) | 0x09;
  }
  const open = (lo & AP1) !== 0 && (tables & NO_UNPRIVILEGED_TABLE) === 0;
  const privilegedNever = (hi & PXN) !== 0 || (tables & PXN_TABLE) !== 0;
  let rights = (lo & NG) !== 0 ? BITS.NOT_GLOBAL : 0;
  if (open) rights |= writable ? BITS.S1_READ | BITS.S1_WRITE : BITS.S1_READ;
  if (!unprivilegedNever && !(wxn && open && writable)) rights |= BITS.S1_EXECUTE;
  if (!privilegedNever && !(open && writable) && !(wxn && writable)) rights |= BITS.S1_PRIV_EXECUTE;
  if (hiddenFromPrivileged(open, !unprivilegedNever, control)) return rights;
  return rights | (writable ? BITS.S1_PRIV_READ | BITS.S1_PRIV_WRITE : BITS.S1_PRIV_READ);
}

/** PAN keeps privileged data accesses off pages open to unprivileged ones; EPAN counts executable pages as open. */
function hiddenFromPrivileged(open: boolean, executable: boolean, control: number): boolean {
  if ((control & S1_CONTROL.PAN) === 0) return false;
  return open || ((control & S1_CONTROL.EPAN) !== 0 && executable);
}

/** Rights by XN[1:0]: unprivileged and privileged execution. */
const S2_EXECUTE_BY_XN: readonly number[] = [
  RIGHTS.S2_EXECUTE | RIGHTS.S2_PRIV_EXECUTE,
  RIGHTS.S2_EXECUTE,
  0,
  RIGHTS.S2_PRIV_EXECUTE,
];

/** Stage-2 rights of a leaf. `dirty`: a clean writable page becomes writable on the way (STE.S2HD). */
export function stage2Rights(lo: number, hi: number, xnx: boolean, dirty: boolean): number {
  const xn = (hi >>> (53 - 32)) & 3;
  let rights = S2_EXECUTE_BY_XN[xnx ? xn : xn & 2]! | (lo & (3 << 6));
  if (dirty && (hi & DBM) !== 0) rights |= BITS.S2_WRITE;
  return (lo & (3 << 4)) === 0 ? rights | BITS.S2_DEVICE : rights;
}

/** The stage-1 right that an access needs, by access + 3 * privileged. */
export const stage1Need = (access: number, privileged: boolean): number => 1 << (privileged ? access + 3 : access);

/** The stage-2 right that an access needs. Privilege matters for instruction fetches only. */
export const stage2Need = (access: number, privileged: boolean): number =>
  1 << (access === 2 && privileged ? 9 : access + 6);

/** PERMISSION bits of an answer: data rights of this privilege, and execution when that is what was asked. */
export function answerPermissions(rights: number, access: number, privileged: boolean): number {
  const stage1 = rights >>> (privileged ? 3 : 0);
  const stage2 = rights >>> 6;
  const execute = access !== 2 ? 0 : stage1 & (privileged ? stage2 >>> 1 : stage2) & 4;
  return (stage1 & stage2 & 3) | execute;
}
