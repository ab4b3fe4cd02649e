/** Widest physical address: what all three architectures can name. */
export const ADDRESS_BITS = 52;
export const ADDRESS_LIMIT = 2 ** ADDRESS_BITS;
/** Bits of the high half that lie above {@link ADDRESS_BITS}. */
export const HI_ABOVE = -1 << (ADDRESS_BITS - 32);

/** 4 KiB: dumps come in scattered pages, and a page that is there from end to end is read at full speed. */
export const CHUNK_SHIFT = 12;
export const CHUNK_BYTES = 1 << CHUNK_SHIFT;
export const CHUNK_WORDS = CHUNK_BYTES / 4;
export const WORD_MASK = CHUNK_WORDS - 1;

const LINE_BITS = 13;
const LINES = 1 << LINE_BITS;
const LINE_MASK = LINES - 1;
/** Bits of a chunk number that lie in the address's low half. */
const LOW_BITS = 32 - CHUNK_SHIFT;

/** Stands for every chunk nobody wrote yet. Never written itself. */
export const ZERO_CHUNK = new Int32Array(CHUNK_WORDS);

/**
 * A chunk number is 40 bits: `hi` (20) and `low` (address bits 31:12). Its upper part is the key, and the line follows
 * from the key and the rest, so that line and key together name one chunk and one small integer is a whole tag.
 */
export const keyOf = (hi: number, low: number): number => (hi << (LOW_BITS - LINE_BITS)) | (low >>> LINE_BITS);
export const lineOf = (key: number, low: number): number =>
  (low & LINE_MASK) ^ (Math.imul(key, 0x9e3779b1) >>> (32 - LINE_BITS));

/**
 * Where the bytes of a memory come from, in chunks, with a direct-mapped cache from chunk number to chunk in front.
 * Only chunks that answer from end to end are remembered there; so limits, poison and devices cost a hit nothing.
 */
export abstract class ChunkSource {
  /** The line's key, shifted up, and in bit 0 whether the chunk may be written in place. -1 = empty. */
  readonly tags = new Int32Array(LINES).fill(-1);
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
    const { line, tag } = placeOf(number);
    this.lines[line] = chunk;
    this.tags[line] = tag | (writable ? 1 : 0);
  }

  protected forget(number: number): void {
    const { line, tag } = placeOf(number);
    if ((this.tags[line]! & ~1) === tag) this.tags[line] = -1;
  }

  protected forgetAll(): void {
    this.tags.fill(-1);
  }
}

function placeOf(number: number): { line: number; tag: number } {
  const low = number % 2 ** LOW_BITS;
  const key = keyOf(Math.floor(number / 2 ** LOW_BITS), low);
  return { line: lineOf(key, low), tag: key << 1 };
}

/** An exact integer for an address below 2^52; throws RangeError for others. */
export function toAddress(value: bigint): number {
  if (value < 0n || value >= 1n << BigInt(ADDRESS_BITS))
    throw new RangeError(`${value < 0n ? value : `0x${value.toString(16)}`} is no 52-bit physical address`);
  return Number(value);
}
