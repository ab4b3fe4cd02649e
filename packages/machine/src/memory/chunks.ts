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

/** Stands for every chunk nobody wrote yet: the first of the slab. Never written itself. */
export const ZERO_CHUNK = 0;
/** No chunk answers. */
export const NO_CHUNK = -1;

const FIRST_SLAB_CHUNKS = 16;

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
 *
 * All chunks lie in one slab, and a chunk is the index of its first word there: a hit loads a line and a word, and no
 * object per chunk in between. The slab moves when it grows; nobody keeps a view of it.
 */
export abstract class ChunkSource {
  /** Words of all chunks. Read it anew for every access. */
  slab = new Int32Array(FIRST_SLAB_CHUNKS * CHUNK_WORDS);
  /**
   * Two words a line: the key, shifted up, with bit 0 saying whether the chunk may be written in place (-1 = empty),
   * and the chunk.
   */
  readonly lines = new Int32Array(LINES * 2).fill(-1);
  private used = CHUNK_WORDS;
  private readonly free: number[] = [];

  /** The chunk that answers `size` bytes at `address`, to be read or written; NO_CHUNK when it does not answer them all. */
  abstract chunkAt(address: number, size: number, write: boolean): number;

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

  /** `length` bytes from `offset` in a chunk. Valid until the next chunk is taken. */
  bytesOf(chunk: number, offset = 0, length = CHUNK_BYTES): Uint8Array {
    return new Uint8Array(this.slab.buffer, chunk * 4 + offset, length);
  }

  /** A zeroed chunk. */
  protected take(): number {
    const again = this.free.pop();
    if (again !== undefined) {
      this.slab.fill(0, again, again + CHUNK_WORDS);
      return again;
    }
    if (this.used === this.slab.length) {
      const larger = new Int32Array(this.slab.length * 2);
      larger.set(this.slab);
      this.slab = larger;
    }
    const chunk = this.used;
    this.used += CHUNK_WORDS;
    return chunk;
  }

  protected giveBack(chunk: number): void {
    this.free.push(chunk);
  }

  protected remember(number: number, chunk: number, writable: boolean): void {
    const { line, tag } = placeOf(number);
    this.lines[line * 2] = tag | (writable ? 1 : 0);
    this.lines[line * 2 + 1] = chunk;
  }

  protected forget(number: number): void {
    const { line, tag } = placeOf(number);
    if ((this.lines[line * 2]! & ~1) === tag) this.lines[line * 2] = -1;
  }

  protected forgetAll(): void {
    this.lines.fill(-1);
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
