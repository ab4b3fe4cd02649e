/**
 * What a driver can ask a unit to forget. Requests collect until {@link Invalidations.sync}, which returns when the
 * unit has carried out all of them in order; an implementation may carry some out earlier. VT-d 6.5.
 *
 * Addresses are signed halves, aligned to their block of `2^order` pages. `leafOnly` is the invalidation hint: no table
 * page was freed, cached table entries may stay.
 */
export interface Invalidations {
  contextGlobal(): void;
  /** `did` is the domain-id of the entry that was there; 0 where none is known (VT-d 6.1: caching mode). */
  contextDevice(sid: number, did: number): void;
  pasidGlobal(): void;
  pasidEntry(did: number, pasid: number): void;
  iotlbGlobal(): void;
  iotlbDomain(did: number): void;
  /** Second-stage and pass-through translations of a block; first-stage ones of the domain altogether. */
  iotlbPages(did: number, hi: number, lo: number, order: number, leafOnly: boolean): void;
  pasidIotlb(did: number, pasid: number): void;
  pasidIotlbPages(did: number, pasid: number, hi: number, lo: number, order: number, leafOnly: boolean): void;
  /** The TLB in a device; `order` ≥ {@link WHOLE_SPACE} means everything. `pasid` 0 = requests without PASID. */
  deviceTlb(sid: number, pasid: number, hi: number, lo: number, order: number): void;
  /** Throws ETIMEDOUT when the unit does not answer, EINVAL when it refused a descriptor. */
  sync(): void;
}

/** Order of the block that covers all 64 bits: 2^52 pages. */
export const WHOLE_SPACE = 52;
