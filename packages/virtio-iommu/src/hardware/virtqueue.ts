import type { PhysicalMemory } from '@iommukit/core';
import { AVAIL, availEventAt, DESCRIPTOR_ALIGN, USED, usedEventAt } from '../format/ring.ts';
import { carry } from './address.ts';
import type { Chain } from './chain.ts';

/** What {@link Virtqueue.pop} answers besides a head index. */
export const EMPTY = -1;
/** The driver broke a rule of the ring, or the ring lies where nothing answers. */
export const BROKEN = -2;

/** The device's side of a split virtqueue. Virtio 1.3 §2.7. Indices are free-running modulo 2^16. */
export class Virtqueue {
  size = 0;
  ready = false;
  descHi = 0;
  descLo = 0;
  availHi = 0;
  availLo = 0;
  usedHi = 0;
  usedLo = 0;
  /** Negotiated ring features. */
  indirect = false;
  eventIdx = false;
  readonly sizeMax: number;
  private readonly memory: PhysicalMemory;
  private lastAvail = 0;
  private usedIdx = 0;
  /** Value of `usedIdx` when the driver was last considered for an interrupt. */
  private signalled = 0;

  constructor(memory: PhysicalMemory, sizeMax: number) {
    this.memory = memory;
    this.sizeMax = sizeMax;
    this.reset();
  }

  reset(): void {
    this.size = this.sizeMax;
    this.descHi = this.descLo = this.availHi = this.availLo = this.usedHi = this.usedLo = 0;
    this.disable();
  }

  disable(): void {
    this.ready = false;
    this.lastAvail = this.usedIdx = this.signalled = 0;
  }

  /** Starts the queue; false when its size or an alignment is none that the format allows. */
  enable(): boolean {
    const { size } = this;
    if (size === 0 || size > this.sizeMax || (size & (size - 1)) !== 0) return false;
    if (this.descLo & (DESCRIPTOR_ALIGN - 1) || this.availLo & (AVAIL.ALIGN - 1) || this.usedLo & (USED.ALIGN - 1))
      return false;
    this.ready = true;
    return true;
  }

  /** Takes the next available chain. {@link EMPTY}, {@link BROKEN}, or its head, with `chain` loaded. */
  pop(chain: Chain): number {
    const available = this.read16(AVAIL.IDX);
    if (available < 0) return BROKEN;
    const pending = (available - this.lastAvail) & 0xffff;
    if (pending === 0) return EMPTY;
    if (pending > this.size) return BROKEN;
    const head = this.read16(AVAIL.RING + AVAIL.ENTRY_BYTES * (this.lastAvail & (this.size - 1)));
    if (head < 0) return BROKEN;
    if (!chain.load(this.descHi, this.descLo, this.size, head, this.indirect)) return BROKEN;
    this.lastAvail = (this.lastAvail + 1) & 0xffff;
    return head;
  }

  /** Returns a chain with `length` bytes written. False: the ring does not answer. */
  push(head: number, length: number): boolean {
    const at = USED.RING + USED.ENTRY_BYTES * (this.usedIdx & (this.size - 1));
    if (!this.writeUsed(at, head) || !this.writeUsed(at + 4, length)) return false;
    this.usedIdx = (this.usedIdx + 1) & 0xffff;
    return this.writeUsed(USED.FLAGS, this.usedIdx << 16);
  }

  /**
   * After a batch: says which kick is wanted next, and answers whether the driver wants an interrupt (1), does not (0),
   * or the ring does not answer ({@link BROKEN}).
   */
  finish(): number {
    const before = this.signalled;
    this.signalled = this.usedIdx;
    if (this.eventIdx) {
      if (!this.writeAvailEvent()) return BROKEN;
      const event = this.read16(usedEventAt(this.size));
      if (event < 0) return BROKEN;
      return ((this.usedIdx - event - 1) & 0xffff) < ((this.usedIdx - before) & 0xffff) ? 1 : 0;
    }
    const flags = this.read16(AVAIL.FLAGS);
    if (flags < 0) return BROKEN;
    return this.usedIdx !== before && (flags & AVAIL.NO_INTERRUPT) === 0 ? 1 : 0;
  }

  /** A ring laid over the device's own registers may stop the queue by a write; then there is nothing left to write. */
  private writeUsed(offset: number, value: number): boolean {
    if (!this.ready) return true;
    const lo = (this.usedLo + offset) | 0;
    return this.memory.write32((this.usedHi + carry(lo, this.usedLo)) | 0, lo, value);
  }

  /** The two bytes behind `avail_event` are not the queue's. */
  private writeAvailEvent(): boolean {
    if (!this.ready) return true;
    const lo = (this.usedLo + availEventAt(this.size)) | 0;
    const hi = (this.usedHi + carry(lo, this.usedLo)) | 0;
    return this.memory.read32(hi, lo) && this.memory.write32(hi, lo, (this.memory.lo & ~0xffff) | this.lastAvail);
  }

  /** A 16-bit word of the driver area, or -1. */
  private read16(offset: number): number {
    const lo = (this.availLo + offset) | 0;
    if (!this.memory.read32((this.availHi + carry(lo, this.availLo)) | 0, lo & ~3)) return -1;
    return (this.memory.lo >>> ((lo & 2) * 8)) & 0xffff;
  }
}
