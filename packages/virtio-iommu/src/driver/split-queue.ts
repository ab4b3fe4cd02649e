import { type DmaPages, IommuError, type PhysicalMemory } from '@iommukit/core';
import {
  AVAIL,
  availBytes,
  availEventAt,
  DESCRIPTOR,
  DESCRIPTOR_ALIGN,
  USED,
  usedBytes,
  usedEventAt,
} from '../format/ring.ts';
import { paHi, paLo } from './halves.ts';
import type { QueueAreas } from './mmio.ts';

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** The driver's side of a split virtqueue in memory. Virtio 1.3 §2.7. Knows rings and descriptors, not requests. */
export class SplitQueue implements QueueAreas {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** The element {@link take} found: index of its head descriptor, and bytes the device wrote. */
  usedId = 0;
  usedLength = 0;
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  readonly #eventIdx: boolean;
  readonly #interrupts: boolean;
  /** Free-running indices modulo 2^16: heads made available, published, and used elements taken. */
  #added = 0;
  #published = 0;
  #taken = 0;

  /** `interrupts`: whether the device shall interrupt for used buffers. Throws ENOMEM. */
  constructor(
    memory: PhysicalMemory,
    pages: DmaPages,
    size: number,
    options: { eventIdx: boolean; interrupts: boolean },
  ) {
    this.#memory = memory;
    this.#pages = pages;
    this.size = size;
    this.#eventIdx = options.eventIdx;
    this.#interrupts = options.interrupts;
    const availAt = size * DESCRIPTOR.BYTES;
    const usedAt = roundUp(availAt + availBytes(size), DESCRIPTOR_ALIGN);
    this.desc = pages.alloc(usedAt + roundUp(usedBytes(size), 4));
    this.avail = this.desc + availAt;
    this.used = this.desc + usedAt;
    this.#writeAvailHead();
    this.#wantInterrupt();
  }

  free(): void {
    this.#pages.free(this.desc);
  }

  /** Fills descriptor `index` of the queue's own table. `flags` are DESCRIPTOR_FLAG bits. */
  describe(index: number, pa: number, length: number, flags: number, next = 0): void {
    this.describeAt(this.desc + index * DESCRIPTOR.BYTES, pa, length, flags, next);
  }

  /** The same at any address: for indirect tables. */
  describeAt(at: number, pa: number, length: number, flags: number, next = 0): void {
    this.#check(this.#memory.write64(paHi(at), paLo(at), paHi(pa), paLo(pa)));
    this.#check(this.#memory.write64(paHi(at + 8), paLo(at + 8), flags | (next << 16), length | 0));
  }

  /** Puts a chain into the ring; the device sees it after {@link publish}. */
  offer(head: number): void {
    const slot = this.#added & (this.size - 1);
    const at = this.avail + AVAIL.RING + slot * AVAIL.ENTRY_BYTES;
    this.#write16(at, head);
    this.#added = (this.#added + 1) & 0xffff;
  }

  /** Makes offered chains visible. True when the device wants to be notified of them. */
  publish(): boolean {
    const before = this.#published;
    if (this.#added === before) return false;
    this.#published = this.#added;
    this.#writeAvailHead();
    if (!this.#eventIdx) return (this.#read32(this.used) & USED.NO_NOTIFY) === 0;
    const event = this.#read16(this.used + availEventAt(this.size));
    return ((this.#published - event - 1) & 0xffff) < ((this.#published - before) & 0xffff);
  }

  /** Takes the next used element into `usedId` and `usedLength`; false when there is none. */
  take(): boolean {
    const index = this.#read16(this.used + USED.IDX);
    if (index === this.#taken) return false;
    const at = this.used + USED.RING + (this.#taken & (this.size - 1)) * USED.ENTRY_BYTES;
    this.usedId = this.#read32(at) >>> 0;
    this.usedLength = this.#read32(at + 4) >>> 0;
    this.#taken = (this.#taken + 1) & 0xffff;
    this.#wantInterrupt();
    return true;
  }

  /** With EVENT_IDX: the next used element is worth an interrupt, or (one behind) none ever is. */
  #wantInterrupt(): void {
    if (!this.#eventIdx) return;
    const event = this.#interrupts ? this.#taken : (this.#taken - 1) & 0xffff;
    this.#write16(this.avail + usedEventAt(this.size), event);
  }

  #writeAvailHead(): void {
    const flags = this.#interrupts || this.#eventIdx ? 0 : AVAIL.NO_INTERRUPT;
    this.#check(this.#memory.write32(paHi(this.avail), paLo(this.avail), flags | (this.#published << 16)));
  }

  #write16(at: number, value: number): void {
    const word = at - (at % 4);
    const shift = (at % 4) * 8;
    const kept = this.#read32(word) & ~(0xffff << shift);
    this.#check(this.#memory.write32(paHi(word), paLo(word), kept | (value << shift)));
  }

  #read16(at: number): number {
    return (this.#read32(at - (at % 4)) >>> ((at % 4) * 8)) & 0xffff;
  }

  #read32(at: number): number {
    this.#check(this.#memory.read32(paHi(at), paLo(at)));
    return this.#memory.lo;
  }

  #check(answered: boolean): void {
    if (!answered) throw new IommuError('EIO', 'memory of a virtqueue does not answer');
  }
}
