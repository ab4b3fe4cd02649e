import { bytesToWords } from '@iommukit/bits';
import { type DmaPages, IommuError, type PhysicalMemory } from '@iommukit/core';
import { FAULT, FAULT_BYTES } from '../format/events.ts';
import { QUEUE } from '../format/registers.ts';
import { DESCRIPTOR_FLAG } from '../format/ring.ts';
import type { VirtioMmio } from './mmio.ts';
import { SplitQueue } from './split-queue.ts';

const BUFFER_BYTES = 32;

/** A report as the device wrote it. */
export interface RawFault {
  readonly bytes: Uint8Array;
  readonly fields: ReturnType<typeof FAULT.decode>;
}

/** The event queue: every buffer is always with the device, and goes back as soon as it was read. */
export class EventConsumer {
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  readonly #queue: SplitQueue;
  readonly #buffers: number;

  /** Throws ENOMEM, leaving nothing behind. */
  constructor(memory: PhysicalMemory, pages: DmaPages, size: number, eventIdx: boolean) {
    this.#memory = memory;
    this.#pages = pages;
    this.#buffers = pages.alloc(size * BUFFER_BYTES);
    try {
      this.#queue = new SplitQueue(memory, pages, size, { eventIdx, interrupts: true });
    } catch (error) {
      pages.free(this.#buffers);
      throw error;
    }
  }

  /** Puts the queue into service with all its buffers; the device needs no notification of them. */
  start(mmio: VirtioMmio): void {
    for (let slot = 0; slot < this.#queue.size; slot++) this.#post(slot);
    this.#queue.publish();
    mmio.startQueue(QUEUE.EVENT, this.#queue);
  }

  free(): void {
    this.#queue.free();
    this.#pages.free(this.#buffers);
  }

  /** Every report that arrived, oldest first. Short ones and those with reserved bytes set are ignored. */
  drain(): RawFault[] {
    const found: RawFault[] = [];
    for (let n = 0; n < this.#queue.size && this.#queue.take(); n++) {
      const slot = this.#queue.usedId;
      if (slot >= this.#queue.size) throw new IommuError('EIO', `the device returned event buffer ${slot}`);
      const report = this.#queue.usedLength >= FAULT_BYTES ? this.#read(slot) : null;
      if (report) found.push(report);
      this.#post(slot);
    }
    this.#queue.publish();
    return found;
  }

  #read(slot: number): RawFault | null {
    const bytes = new Uint8Array(FAULT_BYTES);
    if (!this.#memory.readBytes(BigInt(this.#buffers + slot * BUFFER_BYTES), bytes)) return null;
    const words = bytesToWords(bytes);
    return words[0]! >>> 8 === 0 ? { bytes, fields: FAULT.decode(words) } : null;
  }

  #post(slot: number): void {
    this.#queue.describe(slot, this.#buffers + slot * BUFFER_BYTES, BUFFER_BYTES, DESCRIPTOR_FLAG.WRITE);
    this.#queue.offer(slot);
  }
}
