/** Widest physical address: what all three architectures can name. */
export const ADDRESS_BITS = 52;
export const ADDRESS_LIMIT = 2 ** ADDRESS_BITS;
/** Bits of the high half that lie above {@link ADDRESS_BITS}. */
export const HI_ABOVE = -1 << (ADDRESS_BITS - 32);

export const CHUNK_SHIFT = 14;
export const CHUNK_BYTES = 1 << CHUNK_SHIFT;
export const CHUNK_WORDS = CHUNK_BYTES / 4;
export const WORD_MASK = CHUNK_WORDS - 1;

const LINES = 4096;
const LINE_MASK = LINES - 1;
const CHUNKS_PER_HI = 2 ** (32 - CHUNK_SHIFT);

/** Stands for every chunk nobody wrote yet. Never written itself. */
export const ZERO_CHUNK = new Int32Array(CHUNK_WORDS);

/** Cache line of the chunk `low` (address bits 31:14) under the address's high half. */
export const lineOf = (hi: number, low: number): number => (low ^ (low >>> 12) ^ Math.imul(hi, 0x9e3779b1)) & LINE_MASK;

/**
 * Where the bytes of a memory come from, in chunks, with a direct-mapped cache from chunk number to chunk in front.
 * Only chunks that answer from end to end are remembered there; so limits, poison and devices cost a hit nothing.
 */
export abstract class ChunkSource {
  /** Two words a line: high half of the address, and chunk number within 4 GiB. -1 = empty. */
  readonly readTags = new Int32Array(LINES * 2).fill(-1);
  /** The same for chunks that may be written in place; a subset of {@link readTags}. */
  readonly writeTags = new Int32Array(LINES * 2).fill(-1);
  readonly lines: Int32Array[] = new Array<Int32Array>(LINES).fill(ZERO_CHUNK);

  /** The chunk that answers `size` bytes at `address`, to be read or written; null when it does not answer them all. */
  abstract chunkAt(address: number, size: number, write: boolean): Int32Array | null;

  /** What answers `size` bytes without being a chunk: devices. `address` is aligned to 4. */
  canWriteWord(_address: number): boolean {
    return false;
  }
  /** 0 … 2^32-1, or null for an abort. */
  readWord(_address: number): number | null {
    return null;
  }
  writeWord(_address: number, _value: number): boolean {
    return false;
  }
  writeDouble(_address: number, _hi: number, _lo: number): boolean {
    return false;
  }

  protected remember(number: number, chunk: Int32Array, writable: boolean): void {
    const hi = Math.floor(number / CHUNKS_PER_HI);
    const low = number % CHUNKS_PER_HI;
    const line = lineOf(hi, low);
    this.lines[line] = chunk;
    this.readTags[line * 2] = hi;
    this.readTags[line * 2 + 1] = low;
    this.writeTags[line * 2] = writable ? hi : -1;
    this.writeTags[line * 2 + 1] = writable ? low : -1;
  }

  protected forget(number: number): void {
    const hi = Math.floor(number / CHUNKS_PER_HI);
    const low = number % CHUNKS_PER_HI;
    const line = lineOf(hi, low);
    if (this.readTags[line * 2] !== hi || this.readTags[line * 2 + 1] !== low) return;
    this.readTags[line * 2] = -1;
    this.writeTags[line * 2] = -1;
  }

  protected forgetAll(): void {
    this.readTags.fill(-1);
    this.writeTags.fill(-1);
  }
}

/** An exact integer for an address below 2^52; throws RangeError for others. */
export function toAddress(value: bigint): number {
  if (value < 0n || value >= 1n << BigInt(ADDRESS_BITS))
    throw new RangeError(`${value < 0n ? value : `0x${value.toString(16)}`} is no 52-bit physical address`);
  return Number(value);
}
