import type { NativeData, NativeInvalidation } from '../ops/types.ts';

/** Guest-physical memory as the guest's own driver sees it. Addresses are guest-physical (IPA / GPA). */
export interface GuestMemory {
  /** Zeroed, naturally aligned guest memory. */
  alloc(bytes: number): bigint;
  write64(gpa: bigint, value: bigint): void;
  read64(gpa: bigint): bigint;
}

/** A guest's stage-1 address space in the vendor's native format. */
export interface GuestStage1 {
  /** What the VMM passes as user data of the nested domain. */
  readonly data: NativeData;
  /** Writes the guest's own table; invalidates nothing. 4 KiB pages. */
  map(iova: bigint, gpa: bigint, writable: boolean): void;
  unmap(iova: bigint): void;
  /** Native invalidation of one page, and of the whole address space. */
  invalidatePage(iova: bigint): NativeInvalidation;
  invalidateAll(): NativeInvalidation;
}

/** A malformed input and the errno the vendor must answer. */
export interface BadNative<T> {
  readonly title: string;
  readonly value: T;
  readonly errno: string;
}

/** What a guest's driver of this vendor would write: for VMM examples and for the conformance suite. */
export interface GuestKit {
  /** vIOMMU type to allocate; null where nested domains sit directly on the parent. */
  readonly viommuType: number | null;
  createStage1(memory: GuestMemory, virtualId: bigint): GuestStage1;
  badNestedData(): readonly BadNative<NativeData>[];
  badInvalidations(virtualId: bigint): readonly BadNative<NativeInvalidation>[];
}
