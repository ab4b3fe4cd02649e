/** Physically contiguous bytes. */
export interface PhysicalExtent {
  readonly pa: bigint;
  readonly length: bigint;
}

/** Whose limit pinned pages count against: the user's, over all processes, or the process' own. */
export type AccountMode = 'user' | 'process';

/** Who pays for pinned pages. */
export interface PinAccount {
  readonly mode: AccountMode;
  /** ENOMEM when the owner's limit would be passed; nothing is charged then. */
  charge(pages: bigint): void;
  uncharge(pages: bigint): void;
}

/**
 * Memory somebody hands to a map call: user memory, a memory file, or a dma-buf. Offsets count bytes from the source's
 * first page and are page multiples for pins.
 */
export interface PageSource {
  readonly kind: 'user' | 'file' | 'dma-buf';
  /** Whole pages as physical extents, in order. EFAULT: not there, or not writable as asked; EINVAL: outside a file. */
  pin(offset: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[];
  unpin(offset: bigint, length: bigint, extents: readonly PhysicalExtent[]): void;
  /** Copies without pinning; false where the memory faults. */
  read(offset: bigint, bytes: Uint8Array): boolean;
  write(offset: bigint, bytes: Uint8Array): boolean;
  /** A dma-buf's exporter took the memory back: nothing is mapped, the addresses stay occupied. */
  readonly revoked?: boolean;
  /** Calls `listener` right before the memory goes for good; returns the way to stop. Goes with {@link revoked}. */
  watch?(listener: () => void): () => void;
}

/** User memory of one process, as the caller of an ioctl has it. */
export interface UserMemory {
  accountFor(mode: AccountMode): PinAccount;
  /** False on a fault; the bytes before it may have been transferred. */
  read(address: bigint, bytes: Uint8Array): boolean;
  write(address: bigint, bytes: Uint8Array): boolean;
  /** Pages `[address, address + length)`, page-aligned, as physical extents. EFAULT. */
  pin(address: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[];
  unpin(extents: readonly PhysicalExtent[]): void;
}
