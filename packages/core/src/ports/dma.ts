import type { FaultReason } from '../fault/reason.ts';

/** What a device puts on the bus. One instance is reused for many requests: all fields are plain integers. */
export class DmaRequest {
  /** Requester id: StreamID, source-id or endpoint id. */
  device = 0;
  /** PASID / SubstreamID, or -1 for a request without one. */
  pasid = -1;
  iovaHi = 0;
  iovaLo = 0;
  access: Access = ACCESS.READ;
  /** The privileged-mode attribute of the request (PASID prefix PR, AxPROT[0]). */
  privileged = false;
  kind: RequestKind = REQUEST_KIND.UNTRANSLATED;
}

export const ACCESS = { READ: 0, WRITE: 1, EXECUTE: 2 } as const;
export type Access = (typeof ACCESS)[keyof typeof ACCESS];
export type AccessName = 'read' | 'write' | 'execute';
export const ACCESS_NAMES: readonly AccessName[] = ['read', 'write', 'execute'];

/** PCIe address types; translation requests and translated requests are ATS. */
export const REQUEST_KIND = { UNTRANSLATED: 0, TRANSLATION: 1, TRANSLATED: 2 } as const;
export type RequestKind = (typeof REQUEST_KIND)[keyof typeof REQUEST_KIND];

export const OUTCOME = { TRANSLATED: 0, BYPASS: 1, FAULT: 2 } as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** Permission bits of an answer. */
export const PERMISSION = { READ: 1, WRITE: 2, EXECUTE: 4 } as const;

/** Longest native fault record of any vendor, in 32-bit words. */
const RECORD_WORDS = 16;

/**
 * The unit's answer to one request. Reused like {@link DmaRequest}; fields that do not apply to the outcome are stale. Every
 * refusal sets {@link reason}, {@link code} and {@link recordWords}.
 */
export class DmaAnswer {
  outcome: Outcome = OUTCOME.FAULT;
  paHi = 0;
  paLo = 0;
  /** log2 of the size of the mapping's page or block (the smaller one when nested); 64 where there is no page (bypass). */
  pageSizeLg2 = 0;
  /** {@link PERMISSION} bits that this kind of requester (its privilege) has on the page. */
  permissions = 0;
  /** The common reason of a fault. */
  reason: FaultReason = 0;
  /** The architecture's own number (event type, fault reason), or -1 where it has none. */
  code = -1;
  /** The native record as the unit made it; only the first {@link recordWords} words count. */
  readonly record = new Uint32Array(RECORD_WORDS);
  /** 0 when the unit recorded nothing: suppressed, merged, dropped (a full log loses what comes, not what it has). */
  recordWords = 0;
}
