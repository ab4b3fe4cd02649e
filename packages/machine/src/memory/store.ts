import { RangeSet } from './ranges.ts';

/** Widest physical address: what all three architectures can name. */
export const ADDRESS_BITS = 52;
export const ADDRESS_LIMIT = 2 ** ADDRESS_BITS;
/** Bits of the high half that lie above {@link ADDRESS_BITS}. */
export const HI_ABOVE = -1 << (ADDRESS_BITS - 32);

export const CHUNK_SHIFT = 14;
export const CHUNK_BYTES = 1 << CHUNK_SHIFT;
export const WORD_MASK = CHUNK_BYTES / 4 - 1;
const LINES = 4096;
export const LINE_MASK = LINES - 1;

/** Stands for every chunk nobody wrote yet. Never written itself. */
export const ZERO_CHUNK = new Int32Array(CHUNK_BYTES / 4);

/** Something on the bus that is no RAM: a message doorbell, a register frame. Offsets count from its start. */
export interface BusDevice {
  /** `value` is 0 … 2^32-1. */
  write32(offset: number, value: number): void;
  /** Absent: two 32-bit writes, low half first. Halves are signed. */
  write64?(offset: number, hi: number, lo: number): void;
  /** 0 … 2^32-1. Absent: reads abort. */
  read32?(offset: number): number;
}

export interface Region {
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
}

interface Mapped {
  readonly start: number;
  readonly last: number;
  readonly device: BusDevice;
}

/**
 * The bytes behind one or more {@link SparseMemory} ports, and a direct-mapped cache from chunk number to chunk.
 * Only chunks that are RAM from end to end get into the cache; so RAM limits, poison and devices cost a hit nothing.
 */
export class ChunkStore {
  /** Two words a line: high half of the address, and chunk number within 4 GiB. -1 = empty. */
  readonly tags = new Int32Array(LINES * 2).fill(-1);
  readonly lines: Int32Array[] = new Array<Int32Array>(LINES).fill(ZERO_CHUNK);
  readonly chunks = new Map<number, Int32Array>();
  private readonly ram = new RangeSet();
  private readonly poisoned = new RangeSet();
  private readonly occupied = new RangeSet();
  private readonly devices: Mapped[] = [];

  constructor(ram: readonly Region[]) {
    for (const { start, last } of ram) this.ram.add(toAddress(start), toAddress(last));
  }

  poison(start: number, last: number): void {
    this.poisoned.add(start, last);
    this.tags.fill(-1);
  }

  heal(): void {
    this.poisoned.clear();
  }

  attach(start: number, last: number, device: BusDevice): void {
    if (this.occupied.touches(start, last)) throw new RangeError('two devices at one address');
    this.occupied.add(start, last);
    this.devices.push({ start, last, device });
    this.tags.fill(-1);
  }

  /** The chunk that answers `size` bytes at `address`; null when any of them is a device's or aborts. */
  chunkAt(address: number, size: number, write: boolean): Int32Array | null {
    const number = Math.floor(address / CHUNK_BYTES);
    const first = number * CHUNK_BYTES;
    const plain = this.isRam(first, first + CHUNK_BYTES - 1);
    if (!plain && !this.isRam(address, address + size - 1)) return null;
    let chunk = this.chunks.get(number);
    if (chunk === undefined) {
      chunk = write ? new Int32Array(CHUNK_BYTES / 4) : ZERO_CHUNK;
      if (write) this.chunks.set(number, chunk);
    }
    if (plain) this.remember(number, chunk);
    return chunk;
  }

  isRam(start: number, last: number): boolean {
    return this.ram.covers(start, last) && !this.poisoned.touches(start, last) && !this.occupied.touches(start, last);
  }

  /** The device that answers all of `size` bytes at `address`. */
  deviceAt(address: number, size: number): Mapped | null {
    const last = address + size - 1;
    if (!this.occupied.covers(address, last) || this.poisoned.touches(address, last)) return null;
    for (const mapped of this.devices) if (mapped.start <= address && last <= mapped.last) return mapped;
    return null;
  }

  private remember(number: number, chunk: Int32Array): void {
    const hi = Math.floor(number / 2 ** (32 - CHUNK_SHIFT));
    const low = number % 2 ** (32 - CHUNK_SHIFT);
    const line = lineOf(hi, low);
    this.tags[line * 2] = hi;
    this.tags[line * 2 + 1] = low;
    this.lines[line] = chunk;
  }
}

/** Cache line of the chunk `low` (address bits 31:14) under the address's high half. */
export const lineOf = (hi: number, low: number): number => (low ^ (low >>> 12) ^ Math.imul(hi, 0x9e3779b1)) & LINE_MASK;

/** An exact integer for an address below 2^52; throws RangeError for others. */
export function toAddress(value: bigint): number {
  if (value < 0n || value >= 1n << BigInt(ADDRESS_BITS)) throw new RangeError(`0x${value.toString(16)} is no address`);
  return Number(value);
}
