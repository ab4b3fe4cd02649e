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
const LINE_MASK = (LINES - 1) << 1;
/** Address bits from here on are the tag. */
const TAG_SHIFT = CHUNK_SHIFT + LINE_BITS;

/** Stands for every chunk nobody wrote yet: the first of the slab. Never written itself. */
export const ZERO_CHUNK = 0;
/** No chunk answers. */
export const NO_CHUNK = -1;

const FIRST_SLAB_CHUNKS = 16;

/**
 * Addresses as signed halves. The upper part of an address is its tag, shifted up with bit 0 left clear; its line
 * follows from the tag and the chunk number's low bits, so that line and tag together name one chunk and one small
 * integer is a whole tag. A line is the index of its first word in {@link ChunkSource.lines}. Every load of a walk waits
 * for this: few steps from address to line.
 */
export const tagOf = (hi: number, lo: number): number => ((hi << 7) | (lo >>> TAG_SHIFT)) << 1;
export const lineOf = (hi: number, lo: number): number =>
  ((lo >>> (CHUNK_SHIFT - 1)) ^ (Math.imul((hi << 7) | (lo >>> TAG_SHIFT), 0x9e3779b1) >>> (31 - LINE_BITS))) &
  LINE_MASK;

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
   * Two words a line: the tag, with bit 0 saying whether the chunk may be written in place (-1 = empty), and the chunk.
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
    this.lines[line] = tag | (writable ? 1 : 0);
    this.lines[line + 1] = chunk;
  }

  protected forget(number: number): void {
    const { line, tag } = placeOf(number);
    if ((this.lines[line]! & ~1) === tag) this.lines[line] = -1;
  }

  protected forgetAll(): void {
    this.lines.fill(-1);
  }
}

function placeOf(number: number): { line: number; tag: number } {
  const address = number * CHUNK_BYTES;
  const hi = Math.floor(address / 2 ** 32);
  const lo = address | 0;
  return { line: lineOf(hi, lo), tag: tagOf(hi, lo) };
}

/** An exact integer for an address below 2^52; throws RangeError for others. */
export function toAddress(value: bigint): number {
  if (value < 0n || value >= 1n << BigInt(ADDRESS_BITS))
    throw new RangeError(`${value < 0n ? value : `0x${value.toString(16)}`} is no 52-bit physical address`);
  return Number(value);
}
