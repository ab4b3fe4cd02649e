/** Bits of {@link PageRequest.flags}, with the numbers of the user API. */
export const PAGE_REQUEST_FLAG = { PASID_VALID: 1, LAST_PAGE: 2, RESPONSE_NEEDS_PASID: 4 } as const;
/** Bits of {@link PageRequest.perm}. */
export const PAGE_REQUEST_PERM = { READ: 1, WRITE: 2, EXEC: 4, PRIV: 8 } as const;
/** Codes of {@link PageResponse.code}. FAILURE is the host's own: a user may say SUCCESS or INVALID. */
export const PAGE_RESPONSE = { SUCCESS: 0, INVALID: 1, FAILURE: 0xf } as const;

/** One page a device wants to be present (PCI PRI, SMMU stall). */
export interface PageRequest {
  readonly flags: number;
  /** Counts only with PASID_VALID. */
  readonly pasid: number;
  /** Requests of one group are answered together; the last one carries LAST_PAGE. */
  readonly groupId: number;
  readonly perm: number;
  readonly address: bigint;
}

/** The answer to a whole group. */
export interface PageResponse {
  readonly pasid: number;
  readonly groupId: number;
  readonly code: number;
}
