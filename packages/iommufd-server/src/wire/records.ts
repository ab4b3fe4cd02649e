import { EXTENT_BYTES, FILE_INFO_BYTES } from './protocol.ts';

/** Bits of {@link MemoryExtent.prot}. */
export const PROT = { READ: 1, WRITE: 2, EXECUTE: 4, SHARED: 8 } as const;

/** A piece of a process' memory. Shared memory is who it is by (dev, ino, offset), private memory by (pid, address). */
export interface MemoryExtent {
  readonly address: bigint;
  readonly length: bigint;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly offset: bigint;
  readonly prot: number;
}

export function decodeExtents(data: Buffer, count: number): MemoryExtent[] {
  const whole = Math.min(count, Math.floor(data.length / EXTENT_BYTES));
  return Array.from({ length: whole }, (_, i) => decodeExtent(data, i * EXTENT_BYTES));
}

function decodeExtent(data: Buffer, at: number): MemoryExtent {
  return {
    address: data.readBigUInt64LE(at),
    length: data.readBigUInt64LE(at + 8),
    dev: data.readBigUInt64LE(at + 16),
    ino: data.readBigUInt64LE(at + 24),
    offset: data.readBigUInt64LE(at + 32),
    prot: data.readUInt32LE(at + 40),
  };
}

export const FILE_KIND = { OTHER: 0, OURS: 1, MEMORY: 2 } as const;

/** What a descriptor of the program is. */
export interface FileInfo {
  readonly kind: number;
  /** Of one of ours: as given with NEWFD, 0 for a context. */
  readonly token: bigint;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
}

/** null: too short to be one. */
export function decodeFileInfo(data: Buffer): FileInfo | null {
  if (data.length < FILE_INFO_BYTES) return null;
  return {
    kind: data.readUInt32LE(0),
    token: data.readBigUInt64LE(8),
    dev: data.readBigUInt64LE(16),
    ino: data.readBigUInt64LE(24),
    size: data.readBigUInt64LE(32),
  };
}
