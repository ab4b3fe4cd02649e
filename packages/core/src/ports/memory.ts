/**
 * Physical memory as both halves see it. Addresses and data travel as signed 32-bit halves (`hi`, `lo`), because a
 * number above 2^31 that crosses a call costs V8 a heap allocation and a 64-bit address does not fit a double.
 * Every access is little-endian and naturally aligned; a misaligned one is a bug of the caller and may throw.
 *
 * An address where nothing answers aborts: reads and writes return false and change nothing.
 */
export interface PhysicalMemory {
  /** Low half of the last successful read, signed. */
  lo: number;
  /** High half of the last successful {@link read64}, signed. */
  hi: number;
  read32(paHi: number, paLo: number): boolean;
  read64(paHi: number, paLo: number): boolean;
  write32(paHi: number, paLo: number, value: number): boolean;
  write64(paHi: number, paLo: number, hi: number, lo: number): boolean;
  /** Single-copy atomic compare and swap of 64 bits. True when the swap was done; see `lo`/`hi` for what was found. */
  compareExchange64(paHi: number, paLo: number, oldHi: number, oldLo: number, newHi: number, newLo: number): boolean;
  /** Copies `bytes.length` bytes from `pa`; false (and `bytes` partly filled) when any of them aborts. */
  readBytes(pa: bigint, bytes: Uint8Array): boolean;
  /** Writes all bytes or, when any address aborts, none. */
  writeBytes(pa: bigint, bytes: Uint8Array): boolean;
}

/** The driver's page allocator: physically contiguous, zeroed memory. */
export interface DmaPages {
  /**
   * `bytes` of zeroed memory, aligned to `align` (default: its size rounded up to a power of two, at least 4096).
   * Returns the physical address as an exact integer below 2^53. Throws IommuError ENOMEM.
   */
  alloc(bytes: number, align?: number): number;
  /** Gives memory back. `pa` must come from {@link alloc}. */
  free(pa: number): void;
}
