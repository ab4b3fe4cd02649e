import { bytesToHex, wordsToBytes } from '@iommukit/bits';
import {
  ACCESS_NAMES,
  type AccessName,
  type DmaAnswer,
  type DmaRequest,
  type FaultReasonName,
  faultReasonName,
  OUTCOME,
  PERMISSION,
  type VendorPlugin,
} from '@iommukit/core';

/** The answer to one query, as `translate` and `replay` print it. */
export interface AnswerRecord {
  readonly device: number;
  readonly pasid: number | null;
  readonly iova: string;
  readonly access: AccessName;
  readonly outcome: 'translated' | 'bypass' | 'fault';
  /** Null on a fault, as the two after it. */
  readonly pa: string | null;
  /** Bytes; null on a bypass too, where there is no page. */
  readonly pageSize: number | null;
  readonly permissions: string | null;
  readonly fault: FaultAnswer | null;
}

export interface FaultAnswer {
  readonly reason: FaultReasonName;
  readonly name: string;
  /** Null where the architecture has no number (a refusal it keeps silent about). */
  readonly code: number | null;
  /** The native record's bytes in memory order; null when nothing was recorded. */
  readonly record: string | null;
}

const OUTCOME_NAMES = ['translated', 'bypass', 'fault'] as const;

/** Copies everything out of the reused request and answer. */
export function answerRecord(plugin: VendorPlugin, request: DmaRequest, answer: DmaAnswer): AnswerRecord {
  const faulted = answer.outcome === OUTCOME.FAULT;
  const translated = answer.outcome === OUTCOME.TRANSLATED;
  return {
    device: request.device >>> 0,
    pasid: request.pasid < 0 ? null : request.pasid,
    iova: hexOfHalves(request.iovaHi, request.iovaLo),
    access: ACCESS_NAMES[request.access]!,
    outcome: OUTCOME_NAMES[answer.outcome],
    pa: faulted ? null : hexOfHalves(answer.paHi, answer.paLo),
    pageSize: translated ? 2 ** answer.pageSizeLg2 : null,
    permissions: faulted ? null : permissionText(translated ? answer.permissions : passing(request)),
    fault: faulted ? faultAnswer(plugin, answer) : null,
  };
}

/** `r`, `w`, `rw`, `rx` …; empty for a page that allows nothing. */
export function permissionText(permissions: number): string {
  const letter = (bit: number, name: string) => ((permissions & bit) === 0 ? '' : name);
  return letter(PERMISSION.READ, 'r') + letter(PERMISSION.WRITE, 'w') + letter(PERMISSION.EXECUTE, 'x');
}

/** An unsigned 64-bit value from its halves, as `0x…`. */
export function hexOfHalves(hi: number, lo: number): string {
  const low = (lo >>> 0).toString(16);
  return hi === 0 ? `0x${low}` : `0x${(hi >>> 0).toString(16)}${low.padStart(8, '0')}`;
}

/** What is not translated is not restricted. Execute is named only where it was asked for, as on a page. */
function passing(request: DmaRequest): number {
  const data = PERMISSION.READ | PERMISSION.WRITE;
  return ACCESS_NAMES[request.access] === 'execute' ? data | PERMISSION.EXECUTE : data;
}

function faultAnswer(plugin: VendorPlugin, answer: DmaAnswer): FaultAnswer {
  const record = answer.record.subarray(0, answer.recordWords);
  return {
    reason: faultReasonName(answer.reason),
    name: plugin.faultName(answer.code),
    code: answer.code < 0 ? null : answer.code,
    record: record.length === 0 ? null : bytesToHex(wordsToBytes(record)),
  };
}
