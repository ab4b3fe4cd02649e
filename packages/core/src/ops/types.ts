/** Protection bits of a mapping, as in `IOMMU_READ` and its neighbours. */
export const PROT = { READ: 1, WRITE: 2, CACHE: 4, NOEXEC: 8, MMIO: 16, PRIV: 32 } as const;
export type Prot = number;

/** Flags of paging-domain allocation, with the numbers of the user API. */
export const ALLOC = { NEST_PARENT: 1, DIRTY_TRACKING: 2, FAULT: 4, PASID: 8 } as const;

/** Numbers of the user API's data types, so that the byte face needs no table of its own. */
export const HW_INFO_TYPE = { NONE: 0, INTEL_VTD: 1, ARM_SMMUV3: 2 } as const;
export const HWPT_DATA_TYPE = { NONE: 0, VTD_S1: 1, ARM_SMMUV3: 2 } as const;
export const INVALIDATE_DATA_TYPE = { VTD_S1: 0, ARM_SMMUV3: 1 } as const;
export const VIOMMU_TYPE = { DEFAULT: 0, ARM_SMMUV3: 1 } as const;

/** Data in a native format, with the tag that says which. The core never looks inside `bytes`. */
export interface NativeData {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** An array of native invalidation entries. The tag belongs to the batch, not to the domain. */
export interface NativeInvalidation {
  readonly type: number;
  /** Length of one entry as the caller lays them out. */
  readonly entryLength: number;
  readonly entryCount: number;
  /** `entryLength * entryCount` bytes. */
  readonly bytes: Uint8Array;
}

/** How far an invalidation got: entries from the front that were carried out, and what stopped it. */
export interface InvalidationResult {
  readonly done: number;
  readonly error: Error | null;
}

export type ReservedRegionType = 'direct' | 'direct-relaxable' | 'reserved' | 'msi' | 'sw-msi';

export interface ReservedRegion {
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
  readonly prot: Prot;
  readonly type: ReservedRegionType;
}

/** Input addresses a domain can translate; `last` is inclusive. */
export interface Geometry {
  readonly start: bigint;
  readonly last: bigint;
}

/** Collects what an unmap removed, so that one invalidation serves many pages. */
export interface Gather {
  /** Lowest and highest address removed so far (inclusive); empty when `start > last`. */
  start: bigint;
  last: bigint;
  /** Smallest leaf removed, in bytes; 0n when nothing was. */
  pageSize: bigint;
  /** Every leaf size removed, as a sum of powers of two. A level hint in a native command needs a single one. */
  leafSizes?: bigint;
  /** Table pages that became empty; freed only after the invalidation. */
  readonly freed: number[];
}
