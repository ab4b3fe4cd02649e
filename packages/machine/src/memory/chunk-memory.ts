import type { PhysicalMemory } from '@iommukit/core';
import {
  ADDRESS_LIMIT,
  CHUNK_BYTES,
  type ChunkSource,
  HI_ABOVE,
  lineOf,
  NO_CHUNK,
  tagOf,
  WORD_MASK,
} from './chunks.ts';

// V8 folds a module's own constants into the code and loads imported ones every time.
const WORD = WORD_MASK;
const PAIR = WORD_MASK & ~1;
const ABOVE = HI_ABOVE;
const tagAt = tagOf;
const lineAt = lineOf;

/**
 * The memory port over a {@link ChunkSource}. The hot accesses mask a misaligned address down to its size (the port
 * forbids it); `readBytes` and `writeBytes` take any address and length. Words are in the host's byte order, which
 * must be little-endian.
 */
export class ChunkMemory implements PhysicalMemory {
  lo = 0;
  hi = 0;
  // Plain fields on purpose: `#` fields are slower in the walk's inner loop.
  private readonly source: ChunkSource;
  private readonly lines: Int32Array;

  constructor(source: ChunkSource) {
    this.source = source;
    this.lines = source.lines;
  }

  read32(paHi: number, paLo: number): boolean {
    const tag = tagAt(paHi, paLo);
    const line = lineAt(paHi, paLo);
    if ((this.lines[line]! | 1) !== (tag | 1) || (paHi & ABOVE) !== 0) return this.slowRead(paHi, paLo & ~3, 4);
    this.lo = this.source.slab[this.lines[line | 1]! | ((paLo >>> 2) & WORD)]!;
    return true;
  }

  read64(paHi: number, paLo: number): boolean {
    const tag = tagAt(paHi, paLo);
    const line = lineAt(paHi, paLo);
    if ((this.lines[line]! | 1) !== (tag | 1) || (paHi & ABOVE) !== 0) return this.slowRead(paHi, paLo & ~7, 8);
    const slab = this.source.slab;
    const at = this.lines[line | 1]! | ((paLo >>> 2) & PAIR);
    this.lo = slab[at]!;
    this.hi = slab[at | 1]!;
    return true;
  }

  write32(paHi: number, paLo: number, value: number): boolean {
    const tag = tagAt(paHi, paLo);
    const line = lineAt(paHi, paLo);
    if (this.lines[line] !== (tag | 1) || (paHi & ABOVE) !== 0) return this.slowWrite32(paHi, paLo & ~3, value);
    this.source.slab[this.lines[line | 1]! | ((paLo >>> 2) & WORD)] = value;
    return true;
  }

  write64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    const tag = tagAt(paHi, paLo);
    const line = lineAt(paHi, paLo);
    if (this.lines[line] !== (tag | 1) || (paHi & ABOVE) !== 0) return this.slowWrite64(paHi, paLo & ~7, hi, lo);
    const slab = this.source.slab;
    const at = this.lines[line | 1]! | ((paLo >>> 2) & PAIR);
    slab[at] = lo;
    slab[at | 1] = hi;
    return true;
  }

  compareExchange64(paHi: number, paLo: number, oldHi: number, oldLo: number, newHi: number, newLo: number): boolean {
    if (!this.read64(paHi, paLo)) return false;
    if (this.lo !== (oldLo | 0) || this.hi !== (oldHi | 0)) return false;
    return this.write64(paHi, paLo, newHi, newLo);
  }

  readBytes(pa: bigint, bytes: Uint8Array): boolean {
    if (!inBounds(pa, bytes.length)) return false;
    return eachChunk(Number(pa), bytes, (address, piece) => {
      const chunk = this.source.chunkAt(address, piece.length, false);
      if (chunk === NO_CHUNK) return this.readPiecewise(address, piece);
      piece.set(this.source.bytesOf(chunk, address % CHUNK_BYTES, piece.length));
      return true;
    });
  }

  writeBytes(pa: bigint, bytes: Uint8Array): boolean {
    if (!inBounds(pa, bytes.length)) return false;
    const allTake = eachChunk(
      Number(pa),
      bytes,
      (address, piece) =>
        this.source.chunkAt(address, piece.length, false) !== NO_CHUNK || this.takesPiecewise(address, piece.length),
    );
    return allTake && eachChunk(Number(pa), bytes, (address, piece) => this.writeChunk(address, piece));
  }

  private writeChunk(address: number, piece: Uint8Array): boolean {
    const chunk = this.source.chunkAt(address, piece.length, true);
    if (chunk === NO_CHUNK) return this.writePiecewise(address, piece);
    this.source.bytesOf(chunk, address % CHUNK_BYTES, piece.length).set(piece);
    return true;
  }

  private slowRead(paHi: number, paLo: number, size: 4 | 8): boolean {
    if ((paHi & HI_ABOVE) !== 0) return false;
    const address = paHi * 2 ** 32 + (paLo >>> 0);
    const chunk = this.source.chunkAt(address, size, false);
    if (chunk === NO_CHUNK) return this.readDevice(address, size);
    const at = chunk + ((paLo >>> 2) & WORD_MASK);
    this.lo = this.source.slab[at]!;
    if (size === 8) this.hi = this.source.slab[at + 1]!;
    return true;
  }

  private readDevice(address: number, size: 4 | 8): boolean {
    const lo = this.source.readWord(address);
    const hi = size === 8 ? this.source.readWord(address + 4) : 0;
    if (lo === null || hi === null) return false;
    this.lo = lo | 0;
    if (size === 8) this.hi = hi | 0;
    return true;
  }

  private slowWrite32(paHi: number, paLo: number, value: number): boolean {
    if ((paHi & HI_ABOVE) !== 0) return false;
    const address = paHi * 2 ** 32 + (paLo >>> 0);
    const chunk = this.source.chunkAt(address, 4, true);
    if (chunk === NO_CHUNK) return this.source.writeWord(address, value >>> 0);
    this.source.slab[chunk + ((paLo >>> 2) & WORD_MASK)] = value;
    return true;
  }

  private slowWrite64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    if ((paHi & HI_ABOVE) !== 0) return false;
    const address = paHi * 2 ** 32 + (paLo >>> 0);
    const chunk = this.source.chunkAt(address, 8, true);
    if (chunk === NO_CHUNK) return this.source.writeDouble(address, hi, lo);
    const at = chunk + ((paLo >>> 2) & WORD_MASK);
    this.source.slab[at] = lo;
    this.source.slab[at + 1] = hi;
    return true;
  }

  private readPiecewise(address: number, bytes: Uint8Array): boolean {
    return eachWord(address, bytes, (at, piece) => {
      const chunk = this.source.chunkAt(at, piece.length, false);
      if (chunk !== NO_CHUNK) piece.set(this.source.bytesOf(chunk, at % CHUNK_BYTES, piece.length));
      else {
        const word = piece.length === 4 ? this.source.readWord(at) : null;
        if (word === null) return false;
        viewOf(piece).setUint32(0, word, true);
      }
      return true;
    });
  }

  private takesPiecewise(address: number, length: number): boolean {
    return eachWord(
      address,
      new Uint8Array(length),
      (at, piece) =>
        this.source.chunkAt(at, piece.length, false) !== NO_CHUNK ||
        (piece.length === 4 && this.source.canWriteWord(at)),
    );
  }

  private writePiecewise(address: number, bytes: Uint8Array): boolean {
    return eachWord(address, bytes, (at, piece) => {
      const chunk = this.source.chunkAt(at, piece.length, true);
      if (chunk === NO_CHUNK) return piece.length === 4 && this.source.writeWord(at, viewOf(piece).getUint32(0, true));
      this.source.bytesOf(chunk, at % CHUNK_BYTES, piece.length).set(piece);
      return true;
    });
  }
}

type Piece = (address: number, piece: Uint8Array) => boolean;

const inBounds = (pa: bigint, length: number): boolean => pa >= 0n && pa + BigInt(length) <= BigInt(ADDRESS_LIMIT);

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Pieces that do not cross a chunk; stops when `each` answers false. */
function eachChunk(address: number, bytes: Uint8Array, each: Piece): boolean {
  for (let done = 0; done < bytes.length; ) {
    const at = address + done;
    const length = Math.min(CHUNK_BYTES - (at % CHUNK_BYTES), bytes.length - done);
    if (!each(at, bytes.subarray(done, done + length))) return false;
    done += length;
  }
  return true;
}

/** Aligned words where they fit, single bytes at ragged ends. */
function eachWord(address: number, bytes: Uint8Array, each: Piece): boolean {
  for (let done = 0; done < bytes.length; ) {
    const length = (address + done) % 4 === 0 && done + 4 <= bytes.length ? 4 : 1;
    if (!each(address + done, bytes.subarray(done, done + length))) return false;
    done += length;
  }
  return true;
}
