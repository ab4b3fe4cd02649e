import { addr, flag, layout, uint } from '@iommukit/bits';

/** Fault Recording Register (FRCD), 128 bits. PRIV and PV count only with PP=1. */
export const FAULT_RECORD = layout('fault-record', 'VT-d 9.9', 128, {
  FI: addr(63, 12),
  SID: uint(79, 64),
  T2: flag(92),
  PRIV: flag(93),
  EXE: flag(94),
  PP: flag(95),
  FR: uint(103, 96),
  PV: uint(123, 104),
  AT: uint(125, 124, { 0: 'UNTRANSLATED', 1: 'TRANSLATION_REQUEST', 2: 'TRANSLATED' }),
  T1: flag(126),
  F: flag(127),
});

/** The two type bits together, T1 above T2. */
export const FAULT_TYPE = { WRITE: 0, PAGE_REQUEST: 1, READ: 2, ATOMIC: 3 } as const;

/** The vendor-neutral word nearest to a condition; the same words as the core's fault reasons. */
export type CommonReason =
  | 'bad-device'
  | 'bad-pasid'
  | 'bad-config'
  | 'fetch-abort'
  | 'not-present'
  | 'address-size'
  | 'access-flag'
  | 'permission'
  | 'bad-entry'
  | 'unsupported'
  | 'blocked'
  | 'unknown';

export interface FaultCondition {
  readonly code: number;
  /** The manual's name without the sub-number of alternatives (`LCT.4` stands for LCT.4.1, .2 and .3). */
  readonly name: string;
  readonly condition: string;
  /** An FPD bit of 1 in any entry seen so far suppresses the record. */
  readonly qualified: boolean;
  readonly reason: CommonReason;
}

type Row = readonly [code: number, name: string, qualified: 0 | 1, reason: CommonReason, condition: string];

/** VT-d 7.1: interrupt-remapping conditions carry no mnemonic in the manual; their code is their name. */
const ROWS: readonly Row[] = [
  [0x01, 'LRT.2', 0, 'bad-device', 'legacy root entry not present'],
  [0x02, 'LCT.2', 1, 'bad-device', 'legacy context entry not present'],
  [0x03, 'LCT.4', 1, 'bad-config', 'legacy context entry: AW or TT not supported, or first table unreachable'],
  [0x04, 'LGN.1', 1, 'address-size', 'address beyond the aperture, or beyond the host address width'],
  [0x05, 'LGN.2', 1, 'permission', 'no write right (not present included)'],
  [0x06, 'LGN.3', 1, 'permission', 'no read right (not present included)'],
  [0x07, 'LSS.1', 1, 'fetch-abort', 'second-stage table unreachable'],
  [0x08, 'LRT.1', 0, 'fetch-abort', 'legacy root entry unreachable'],
  [0x09, 'LCT.1', 0, 'fetch-abort', 'legacy context entry unreachable'],
  [0x0a, 'LRT.3', 0, 'bad-config', 'legacy root entry: reserved field set'],
  [0x0b, 'LCT.3', 1, 'bad-config', 'legacy context entry: reserved field set'],
  [0x0c, 'LSS.2', 1, 'bad-entry', 'second-stage entry: reserved field set'],
  [0x0d, 'LCT.5', 1, 'unsupported', 'translation or translated request blocked by TT'],
  [0x0e, 'LGN.4', 1, 'unsupported', 'output address in the interrupt range'],
  [0x20, '20h', 0, 'bad-config', 'interrupt request: reserved field set'],
  [0x21, '21h', 0, 'address-size', 'interrupt index beyond the table'],
  [0x22, '22h', 1, 'not-present', 'IRTE not present'],
  [0x23, '23h', 0, 'fetch-abort', 'IRTE unreachable'],
  [0x24, '24h', 1, 'bad-config', 'IRTE: reserved field set'],
  [0x25, '25h', 0, 'unsupported', 'compatibility-format interrupt blocked'],
  [0x26, '26h', 1, 'permission', 'interrupt source-id verification failed'],
  [0x27, '27h', 1, 'fetch-abort', 'posted-interrupt descriptor unreachable'],
  [0x28, '28h', 1, 'bad-config', 'posted-interrupt descriptor: reserved field set'],
  [0x29, '29h', 0, 'unsupported', 'request to the interrupt range that is no interrupt'],
  [0x2a, '2Ah', 0, 'unsupported', 'extended interrupt mode required'],
  [0x2b, '2Bh', 0, 'unsupported', 'interrupt remapping required'],
  [0x30, 'RTA.1', 0, 'bad-config', 'root table address register inconsistent'],
  [0x31, 'RTA.2', 0, 'bad-pasid', 'request with PASID in legacy mode'],
  [0x32, 'RTA.3', 0, 'unsupported', 'page request in legacy mode'],
  [0x33, 'RTA.4', 0, 'blocked', 'abort-DMA mode'],
  [0x34, 'RTA.5', 0, 'unsupported', 'execute requested'],
  [0x38, 'SRT.1', 0, 'fetch-abort', 'scalable root entry unreachable'],
  [0x39, 'SRT.2', 0, 'bad-device', 'scalable root entry: half not present'],
  [0x3a, 'SRT.3', 0, 'bad-config', 'scalable root entry: reserved field set'],
  [0x40, 'SCT.1', 0, 'fetch-abort', 'scalable context entry unreachable'],
  [0x41, 'SCT.2', 1, 'bad-device', 'scalable context entry not present'],
  [0x42, 'SCT.3', 1, 'bad-config', 'scalable context entry: reserved field set'],
  [0x43, 'SCT.4', 1, 'bad-config', 'scalable context entry inconsistent'],
  [0x44, 'SCT.5', 1, 'unsupported', 'translation or translated request with DTE=0'],
  [0x45, 'SCT.6', 1, 'bad-pasid', 'request with PASID and PASIDE=0'],
  [0x46, 'SCT.7', 1, 'bad-pasid', 'PASID beyond the directory'],
  [0x47, 'SCT.8', 1, 'unsupported', 'page request with PRE=0'],
  [0x48, 'SCT.9', 1, 'bad-pasid', 'explicit PASID equals RID_PASID'],
  [0x49, 'SCT.10', 1, 'unsupported', 'translated request with PASID and EPTR=0'],
  [0x50, 'SPD.1', 0, 'fetch-abort', 'PASID directory entry unreachable'],
  [0x51, 'SPD.2', 1, 'bad-pasid', 'PASID directory entry not present'],
  [0x52, 'SPD.3', 1, 'bad-config', 'PASID directory entry: reserved field set'],
  [0x58, 'SPT.1', 0, 'fetch-abort', 'PASID table entry unreachable'],
  [0x59, 'SPT.2', 1, 'bad-pasid', 'PASID table entry not present'],
  [0x5a, 'SPT.3', 1, 'bad-config', 'PASID table entry: reserved field set'],
  [0x5b, 'SPT.4', 1, 'bad-config', 'PASID table entry: AW, PGTT, FSPM or nested FSPTPTR not usable'],
  [0x5c, 'SPT.5', 1, 'unsupported', 'execute requested'],
  [0x5d, 'SPT.6', 1, 'permission', 'privileged request with SRE=0'],
  [0x60, 'SPT.9', 1, 'address-size', 'address beyond the host permission table'],
  [0x70, 'SFS.1', 1, 'fetch-abort', 'first-stage table unreachable'],
  [0x71, 'SFS.2', 1, 'not-present', 'first-stage entry not present'],
  [0x72, 'SFS.3', 1, 'bad-entry', 'first-stage entry: reserved field set'],
  [0x73, 'SFS.4', 1, 'fetch-abort', 'first-stage root table unreachable'],
  [0x74, 'SFS.5', 1, 'address-size', 'first-stage address beyond the second-stage aperture'],
  [0x75, 'SFS.6', 1, 'permission', 'second stage refuses reading the first-stage root table'],
  [0x76, 'SFS.7', 1, 'permission', 'second stage refuses reading a first-stage table'],
  [0x77, 'SFS.8', 1, 'permission', 'second stage refuses a first-stage flag update'],
  [0x78, 'SSS.1', 1, 'fetch-abort', 'second-stage table unreachable'],
  [0x79, 'SSS.2', 1, 'not-present', 'second-stage entry without any right'],
  [0x7a, 'SSS.3', 1, 'bad-entry', 'second-stage entry: reserved field set'],
  [0x7b, 'SSS.4', 1, 'fetch-abort', 'second-stage root table unreachable'],
  [0x7c, 'SSS.5', 1, 'access-flag', 'second-stage flag update needed on an unsnooped walk'],
  [0x7d, 'SSS.6', 1, 'access-flag', 'second-stage flag update failed'],
  [0x80, 'SGN.1', 1, 'address-size', 'address not canonical'],
  [0x81, 'SGN.2', 1, 'permission', 'user request to a supervisor page'],
  [0x83, 'SGN.4', 1, 'address-size', 'address beyond the host address width'],
  [0x84, 'SGN.5', 1, 'address-size', 'address beyond the second-stage aperture'],
  [0x85, 'SGN.6', 1, 'permission', 'no write right'],
  [0x86, 'SGN.7', 1, 'permission', 'no read right'],
  [0x87, 'SGN.8', 1, 'unsupported', 'output address in the interrupt range'],
  [0x89, 'SGN.10', 1, 'bad-pasid', 'PASID wider than supported'],
  [0x90, 'SFS.9', 1, 'access-flag', 'first-stage flag update needed on an unsnooped walk'],
  [0x91, 'SFS.10', 1, 'access-flag', 'first-stage flag update failed'],
  [0xa0, 'HPT.1', 1, 'fetch-abort', 'host permission table unreachable'],
  [0xa1, 'HPT.2', 1, 'bad-entry', 'host permission entry: reserved field set'],
  [0xa2, 'HPT.3', 1, 'fetch-abort', 'host permission root table unreachable'],
  [0xa3, 'HPT.4', 1, 'not-present', 'host permission: zero-length read without entry'],
  [0xa4, 'HPT.5', 1, 'permission', 'host permission: no write right'],
  [0xa5, 'HPT.6', 1, 'permission', 'host permission: no read right'],
];

/** Every fault reason the manual defines, by code. */
export const FAULT_CONDITIONS: ReadonlyMap<number, FaultCondition> = new Map(
  ROWS.map(([code, name, qualified, reason, condition]) => [
    code,
    { code, name, condition, qualified: qualified === 1, reason },
  ]),
);
