import { CHUNK_BYTES, ChunkSource, NO_CHUNK, toAddress, ZERO_CHUNK } from './chunks.ts';
import { RangeSet } from './ranges.ts';

/** Something on the bus that is no RAM: a message doorbell, a register frame. Offsets count from its start. */
export interface BusDevice {
  /** `value` is 0 … 2^32-1. Answers false to abort; anything else is success. */
  write32(offset: number, value: number): unknown;
  /** Absent: two 32-bit writes, low half first. Halves are signed. Answers like {@link write32}. */
  write64?(offset: number, hi: number, lo: number): unknown;
  /** 0 … 2^32-1, or null to abort. Absent: reads abort. */
  read32?(offset: number): number | null;
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

/** RAM in regions, allocated as it is written; devices over it; poison over everything. */
export class SparseSource extends ChunkSource {
  /** Chunks that were written, by chunk number. */
  readonly chunks = new Map<number, number>();
  private readonly ram = new RangeSet();
  private readonly poisoned = new RangeSet();
  private readonly occupied = new RangeSet();
  private readonly devices: Mapped[] = [];

  constructor(ram: readonly Region[]) {
    super();
    for (const { start, last } of ram) this.ram.add(toAddress(start), toAddress(last));
  }

  poison(start: number, last: number): void {
    this.poisoned.add(start, last);
    this.forgetAll();
  }

  heal(): void {
    this.poisoned.clear();
  }

  attach(start: number, last: number, device: BusDevice): void {
    if (this.occupied.touches(start, last)) throw new RangeError(`two devices at 0x${start.toString(16)}`);
    this.occupied.add(start, last);
    this.devices.push({ start, last, device });
    this.forgetAll();
  }

  chunkAt(address: number, size: number, write: boolean): number {
    const number = Math.floor(address / CHUNK_BYTES);
    const first = number * CHUNK_BYTES;
    const plain = this.isRam(first, first + CHUNK_BYTES - 1);
    if (!plain && !this.isRam(address, address + size - 1)) return NO_CHUNK;
    let chunk = this.chunks.get(number);
    if (chunk === undefined && write) {
      chunk = this.take();
      this.chunks.set(number, chunk);
    }
    if (plain) this.remember(number, chunk ?? ZERO_CHUNK, chunk !== undefined);
    return chunk ?? ZERO_CHUNK;
  }

  override canWriteWord(address: number): boolean {
    return this.deviceAt(address, 4) !== null;
  }

  override readWord(address: number): number | null {
    const mapped = this.deviceAt(address, 4);
    return mapped?.device.read32?.(address - mapped.start) ?? null;
  }

  override writeWord(address: number, value: number): boolean {
    const mapped = this.deviceAt(address, 4);
    return mapped !== null && mapped.device.write32(address - mapped.start, value) !== false;
  }

  override writeDouble(address: number, hi: number, lo: number): boolean {
    const mapped = this.deviceAt(address, 8);
    if (mapped === null) return false;
    const offset = address - mapped.start;
    if (mapped.device.write64) return mapped.device.write64(offset, hi, lo) !== false;
    return mapped.device.write32(offset, lo >>> 0) !== false && mapped.device.write32(offset + 4, hi >>> 0) !== false;
  }

  private isRam(start: number, last: number): boolean {
    return this.ram.covers(start, last) && !this.poisoned.touches(start, last) && !this.occupied.touches(start, last);
  }

  private deviceAt(address: number, size: number): Mapped | null {
    const last = address + size - 1;
    if (!this.occupied.covers(address, last) || this.poisoned.touches(address, last)) return null;
    return this.devices.find((mapped) => mapped.start <= address && last <= mapped.last) ?? null;
  }
}
