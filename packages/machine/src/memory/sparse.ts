import type { PhysicalMemory } from '@iommukit/core';
import {
  ADDRESS_LIMIT,
  type BusDevice,
  CHUNK_BYTES,
  CHUNK_SHIFT,
  ChunkStore,
  HI_ABOVE,
  lineOf,
  type Region,
  toAddress,
  WORD_MASK,
  ZERO_CHUNK,
} from './store.ts';

const ALL: readonly Region[] = [{ start: 0n, last: BigInt(ADDRESS_LIMIT) - 1n }];

/**
 * Physical memory of 52 address bits. Chunks are allocated when first written; untouched RAM reads as zero and costs
 * nothing. Outside RAM, on poisoned addresses and above bit 51 every access aborts.
 *
 * The hot accesses mask a misaligned address down to its size (the port forbids it); {@link readBytes} and
 * {@link writeBytes} take any address and length. The words' byte order is the host's: little-endian.
 */
export class SparseMemory implements PhysicalMemory {
  lo = 0;
  hi = 0;
  // Plain fields on purpose: `#` fields are slower in the walk's inner loop.
  private readonly tags: Int32Array;
  private readonly lines: Int32Array[];
  private readonly store: ChunkStore;

  /** `ram`: inclusive ranges; default all 2^52 bytes. A store shares the bytes of another memory, see {@link port}. */
  constructor(ram: readonly Region[] | ChunkStore = ALL) {
    this.store = ram instanceof ChunkStore ? ram : new ChunkStore(ram);
    this.tags = this.store.tags;
    this.lines = this.store.lines;
  }

  /** The same bytes through a latch (`lo`, `hi`) of its own, so that two masters cannot see each other's reads. */
  port(): SparseMemory {
    return new SparseMemory(this.store);
  }

  /** Makes `[start, last]` abort for everyone until {@link heal}. The bytes are kept. */
  poison(start: bigint, last: bigint): void {
    this.store.poison(toAddress(start), toAddress(last));
  }

  heal(): void {
    this.store.heal();
  }

  /** Puts a device on the bus at `[start, last]`, over RAM if there is any. Throws RangeError when one is there. */
  attachDevice(start: bigint, last: bigint, device: BusDevice): void {
    this.store.attach(toAddress(start), toAddress(last), device);
  }

  read32(paHi: number, paLo: number): boolean {
    const low = paLo >>> CHUNK_SHIFT;
    const line = lineOf(paHi, low);
    if (this.tags[line * 2] !== paHi || this.tags[line * 2 + 1] !== low) return this.slowRead(paHi, paLo & ~3, 4);
    this.lo = this.lines[line]![(paLo >>> 2) & WORD_MASK]!;
    return true;
  }

  read64(paHi: number, paLo: number): boolean {
    const low = paLo >>> CHUNK_SHIFT;
    const line = lineOf(paHi, low);
    if (this.tags[line * 2] !== paHi || this.tags[line * 2 + 1] !== low) return this.slowRead(paHi, paLo & ~7, 8);
    const chunk = this.lines[line]!;
    const word = (paLo >>> 2) & WORD_MASK & ~1;
    this.lo = chunk[word]!;
    this.hi = chunk[word + 1]!;
    return true;
  }

  write32(paHi: number, paLo: number, value: number): boolean {
    const low = paLo >>> CHUNK_SHIFT;
    const line = lineOf(paHi, low);
    const chunk = this.lines[line]!;
    if (this.tags[line * 2] !== paHi || this.tags[line * 2 + 1] !== low || chunk === ZERO_CHUNK)
      return this.slowWrite32(paHi, paLo & ~3, value);
    chunk[(paLo >>> 2) & WORD_MASK] = value;
    return true;
  }

  write64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    const low = paLo >>> CHUNK_SHIFT;
    const line = lineOf(paHi, low);
    const chunk = this.lines[line]!;
    if (this.tags[line * 2] !== paHi || this.tags[line * 2 + 1] !== low || chunk === ZERO_CHUNK)
      return this.slowWrite64(paHi, paLo & ~7, hi, lo);
    const word = (paLo >>> 2) & WORD_MASK & ~1;
    chunk[word] = lo;
    chunk[word + 1] = hi;
    return true;
  }

  compareExchange64(paHi: number, paLo: number, oldHi: number, oldLo: number, newHi: number, newLo: number): boolean {
    if (!this.read64(paHi, paLo)) return false;
    if (this.lo !== (oldLo | 0) || this.hi !== (oldHi | 0)) return false;
    return this.write64(paHi, paLo, newHi, newLo);
  }

  readBytes(pa: bigint, bytes: Uint8Array): boolean {
    if (!inBounds(pa, bytes.length)) return false;
    let address = Number(pa);
    for (let done = 0; done < bytes.length; ) {
      const offset = address % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - offset, bytes.length - done);
      const chunk = this.store.chunkAt(address, length, false);
      if (chunk !== null) bytes.set(new Uint8Array(chunk.buffer, offset, length), done);
      else if (!this.readPiecewise(address, bytes.subarray(done, done + length))) return false;
      done += length;
      address += length;
    }
    return true;
  }

  writeBytes(pa: bigint, bytes: Uint8Array): boolean {
    if (!inBounds(pa, bytes.length) || !this.canWrite(Number(pa), bytes.length)) return false;
    let address = Number(pa);
    for (let done = 0; done < bytes.length; ) {
      const offset = address % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - offset, bytes.length - done);
      const piece = bytes.subarray(done, done + length);
      const chunk = this.store.chunkAt(address, length, true);
      if (chunk !== null) new Uint8Array(chunk.buffer, offset, length).set(piece);
      else this.writePiecewise(address, piece);
      done += length;
      address += length;
    }
    return true;
  }

  /** Every chunk that was written at some time, ascending; for snapshots and comparison. Bytes are not a copy. */
  *written(): Generator<{ readonly start: bigint; readonly bytes: Uint8Array }> {
    const numbers = [...this.store.chunks.keys()].sort((a, b) => a - b);
    for (const number of numbers) {
      const bytes = new Uint8Array(this.store.chunks.get(number)!.buffer);
      yield { start: BigInt(number) << BigInt(CHUNK_SHIFT), bytes };
    }
  }

  private slowRead(paHi: number, paLo: number, size: 4 | 8): boolean {
    if ((paHi & HI_ABOVE) !== 0) return false;
    const address = paHi * 2 ** 32 + (paLo >>> 0);
    const chunk = this.store.chunkAt(address, size, false);
    if (chunk === null) return this.readDevice(address, size);
    const word = (paLo >>> 2) & WORD_MASK;
    this.lo = chunk[word]!;
    if (size === 8) this.hi = chunk[word + 1]!;
    return true;
  }

  private readDevice(address: number, size: 4 | 8): boolean {
    const mapped = this.store.deviceAt(address, size);
    if (mapped?.device.read32 === undefined) return false;
    this.lo = mapped.device.read32(address - mapped.start) | 0;
    if (size === 8) this.hi = mapped.device.read32(address - mapped.start + 4) | 0;
    return true;
  }

  private slowWrite32(paHi: number, paLo: number, value: number): boolean {
    if ((paHi & HI_ABOVE) !== 0) return false;
    const address = paHi * 2 ** 32 + (paLo >>> 0);
    const chunk = this.store.chunkAt(address, 4, true);
    if (chunk !== null) {
      chunk[(paLo >>> 2) & WORD_MASK] = value;
      return true;
    }
    const mapped = this.store.deviceAt(address, 4);
    mapped?.device.write32(address - mapped.start, value >>> 0);
    return mapped !== null;
  }

  private slowWrite64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    if ((paHi & HI_ABOVE) !== 0) return false;
    const address = paHi * 2 ** 32 + (paLo >>> 0);
    const chunk = this.store.chunkAt(address, 8, true);
    if (chunk !== null) {
      const word = (paLo >>> 2) & WORD_MASK;
      chunk[word] = lo;
      chunk[word + 1] = hi;
      return true;
    }
    const mapped = this.store.deviceAt(address, 8);
    if (mapped === null) return false;
    const offset = address - mapped.start;
    if (mapped.device.write64) mapped.device.write64(offset, hi, lo);
    else {
      mapped.device.write32(offset, lo >>> 0);
      mapped.device.write32(offset + 4, hi >>> 0);
    }
    return true;
  }

  private canWrite(address: number, length: number): boolean {
    if (length === 0 || this.store.isRam(address, address + length - 1)) return true;
    return split(address, length, (at, size) => this.store.isRam(at, at + size - 1) || this.takesWrite(at, size));
  }

  /** Devices take aligned words only. */
  private takesWrite(at: number, size: number): boolean {
    return size === 4 && this.store.deviceAt(at, 4) !== null;
  }

  private readPiecewise(address: number, bytes: Uint8Array): boolean {
    return split(address, bytes.length, (at, size) => {
      const chunk = this.store.chunkAt(at, size, false);
      const piece = bytes.subarray(at - address, at - address + size);
      if (chunk !== null) piece.set(new Uint8Array(chunk.buffer, at % CHUNK_BYTES, size));
      else if (size !== 4 || !this.readDevice(at, 4)) return false;
      else new DataView(piece.buffer, piece.byteOffset).setInt32(0, this.lo, true);
      return true;
    });
  }

  private writePiecewise(address: number, bytes: Uint8Array): void {
    split(address, bytes.length, (at, size) => {
      const piece = bytes.subarray(at - address, at - address + size);
      const chunk = this.store.chunkAt(at, size, true);
      if (chunk !== null) new Uint8Array(chunk.buffer, at % CHUNK_BYTES, size).set(piece);
      else if (size === 4) {
        const mapped = this.store.deviceAt(at, 4);
        mapped?.device.write32(at - mapped.start, new DataView(piece.buffer, piece.byteOffset).getUint32(0, true));
      }
      return true;
    });
  }
}

const inBounds = (pa: bigint, length: number): boolean => pa >= 0n && pa + BigInt(length) <= BigInt(ADDRESS_LIMIT);

/** Aligned words where they fit, bytes at ragged ends; stops when `each` answers false. */
function split(address: number, length: number, each: (at: number, size: number) => boolean): boolean {
  for (let at = address; at < address + length; ) {
    const size = at % 4 === 0 && at + 4 <= address + length ? 4 : 1;
    if (!each(at, size)) return false;
    at += size;
  }
  return true;
}
