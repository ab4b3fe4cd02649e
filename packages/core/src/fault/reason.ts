/**
 * Why a DMA was refused, in words all vendors share. Numbers so that the translation path can carry them; the
 * architecture's own code always stands beside it.
 */
export const FAULT_REASON = {
  /** The architecture does not say, or has no better word. */
  UNKNOWN: 0,
  /** Configured to refuse this device, or it is attached to nothing. */
  BLOCKED: 1,
  /** The requester id has no configuration entry, or lies outside the tables. */
  BAD_DEVICE: 2,
  /** The PASID is not usable: none expected, outside the tables, or disabled. */
  BAD_PASID: 3,
  /** A configuration structure is invalid, inconsistent or has reserved bits set. */
  BAD_CONFIG: 4,
  /** Reading a structure or table from memory aborted. */
  FETCH_ABORT: 5,
  /** Nothing is mapped there. */
  NOT_PRESENT: 6,
  /** An address does not fit the width it must fit. */
  ADDRESS_SIZE: 7,
  /** The access flag is clear and hardware may not set it. */
  ACCESS_FLAG: 8,
  /** Mapped, but not for this access. */
  PERMISSION: 9,
  /** A translation entry has reserved bits set. */
  BAD_ENTRY: 10,
  /** This kind of request is not allowed here (ATS, interrupt window, PASID prefix). */
  UNSUPPORTED: 11,
} as const;
export type FaultReason = (typeof FAULT_REASON)[keyof typeof FAULT_REASON];

export type FaultReasonName =
  | 'unknown'
  | 'blocked'
  | 'bad-device'
  | 'bad-pasid'
  | 'bad-config'
  | 'fetch-abort'
  | 'not-present'
  | 'address-size'
  | 'access-flag'
  | 'permission'
  | 'bad-entry'
  | 'unsupported';

const NAMES: readonly FaultReasonName[] = [
  'unknown',
  'blocked',
  'bad-device',
  'bad-pasid',
  'bad-config',
  'fetch-abort',
  'not-present',
  'address-size',
  'access-flag',
  'permission',
  'bad-entry',
  'unsupported',
];

export const faultReasonName = (reason: FaultReason): FaultReasonName => NAMES[reason] ?? 'unknown';
