import type { DmaBuf } from '../pages/dma-buf.ts';
import type { UserProcess } from './process.ts';

export const POLL = { IN: 1, OUT: 4 } as const;

/** Memory of a vIOMMU that a program mapped. */
export interface MappedRegion {
  /** The live contents; a store here is one by the program. */
  readonly bytes: Uint8Array;
  /** The last page of the mapping was unmapped. */
  unmap(): void;
}

/**
 * The far end of a descriptor. Results below 0 are `-errno`; nothing here throws for what a program does.
 * A file serves one call at a time and never blocks.
 */
export interface OpenFile {
  /** `request` is the 32-bit command, `arg` the third argument as it stands. */
  ioctl(request: number, arg: bigint, user: UserProcess): number;
  /** Up to `count` bytes to `address`; `offset` is 0 unless the program used pread. */
  read(address: bigint, count: number, user: UserProcess, offset?: bigint): number;
  write(address: bigint, count: number, user: UserProcess, offset?: bigint): number;
  /** {@link POLL} bits that hold now. */
  poll(): number;
  /** Called when POLL.IN turns true. Set by the embedding; at most one. */
  onReadable: (() => void) | null;
  /** `length` in bytes, `prot` and `flags` as the program gave them. */
  mmap(offset: bigint, length: bigint, prot: number, flags: number): MappedRegion | number;
  /** The last copy of the descriptor, and every mapping made through it, is gone. */
  close(): void;
  /** Set where the file is a dma-buf that IOAS_MAP_FILE takes. */
  readonly dmaBuf?: DmaBuf;
}
