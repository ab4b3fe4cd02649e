import { type Clock, type DmaPages, IommuError, type PhysicalMemory } from '@iommukit/core';
import { QUEUE, STATUS } from '../format/registers.ts';
import { MAP, PROBE, TAIL_BYTES } from '../format/requests.ts';
import { DESCRIPTOR, DESCRIPTOR_FLAG } from '../format/ring.ts';
import { paHi, paLo } from './halves.ts';
import type { VirtioMmio } from './mmio.ts';
import { SplitQueue } from './split-queue.ts';

/** A request buffer: the longest request without properties, and its tail. */
const BUFFER_BYTES = 64;
if (MAP.bytes + TAIL_BYTES > BUFFER_BYTES) throw new RangeError('a request buffer holds no MAP');

/** Turns of the polling loop after which the device counts as dead, and how often it is asked whether it broke. */
const POLLS = 200_000;
const POLLS_PER_STATUS = 64;

/** One request on its way. */
export interface Pending {
  /** Number of the status byte once done; -1 while outstanding, -2 when the used length does not cover a status. */
  status: number;
}
export const OUTSTANDING = -1;
export const NO_STATUS = -2;

/** Where a slot's request lies: readable part, then device-written part. */
interface Placement {
  readonly pa: number;
  readonly readable: number;
  readonly writable: number;
}

/**
 * The request queue: requests are queued in batches and the device is kicked once. Unlike Linux's driver it keeps every
 * status, takes a used length other than the expected one for a failure, and never waits without end.
 */
export class RequestQueue {
  readonly #queue: SplitQueue;
  readonly #memory: PhysicalMemory;
  readonly #mmio: VirtioMmio;
  readonly #time: Clock;
  readonly #pages: DmaPages;
  readonly #buffers: number;
  /** Page of two-entry indirect tables, one a slot; null without the feature. */
  readonly #tables: number | null;
  /** Room for one PROBE and its answer; null without the feature. */
  readonly #probeBuffer: number | null;
  readonly #free: number[];
  readonly #pending: (Pending | null)[];
  readonly #placed: Placement[] = [];
  readonly #backlog: Uint32Array[] = [];
  #outstanding = 0;
  #broken = false;

  /** Throws ENOMEM, leaving nothing behind. */
  constructor(
    parts: { memory: PhysicalMemory; pages: DmaPages; time: Clock; mmio: VirtioMmio },
    size: number,
    features: { eventIdx: boolean; indirect: boolean; probeSize: number | null },
  ) {
    this.#memory = parts.memory;
    this.#pages = parts.pages;
    this.#time = parts.time;
    this.#mmio = parts.mmio;
    const slots = features.indirect ? size : size >> 1;
    this.#free = Array.from({ length: slots }, (_, slot) => slots - 1 - slot);
    this.#pending = new Array<Pending | null>(slots).fill(null);
    const taken: number[] = [];
    const take = (bytes: number): number => {
      const pa = parts.pages.alloc(bytes);
      taken.push(pa);
      return pa;
    };
    try {
      this.#buffers = take(slots * BUFFER_BYTES);
      this.#tables = features.indirect ? take(slots * 2 * DESCRIPTOR.BYTES) : null;
      const { probeSize } = features;
      this.#probeBuffer = probeSize === null ? null : take(PROBE.bytes + probeSize + TAIL_BYTES);
      this.#queue = new SplitQueue(parts.memory, parts.pages, size, { eventIdx: features.eventIdx, interrupts: false });
    } catch (error) {
      for (const pa of taken) parts.pages.free(pa);
      throw error;
    }
  }

  /** Puts the queue into service. */
  start(): void {
    this.#mmio.startQueue(QUEUE.REQUEST, this.#queue);
  }

  free(): void {
    this.#queue.free();
    this.#pages.free(this.#buffers);
    if (this.#tables !== null) this.#pages.free(this.#tables);
    if (this.#probeBuffer !== null) this.#pages.free(this.#probeBuffer);
  }

  /** Queues a request; the device learns of it with {@link sync}, or when the ring is full. EIO, ETIMEDOUT. */
  add(words: Uint32Array): Pending {
    if (this.#free.length === 0 || this.#backlog.length > 0) this.sync();
    return this.#placeInOwn(words);
  }

  /** Queues a request whose status nobody wants, also where the ring is full: it goes out before any later one. */
  later(words: Uint32Array): void {
    this.#backlog.push(words);
  }

  /** Carries out one request, alone, and returns its status. */
  submit(words: Uint32Array): number {
    const pending = this.add(words);
    this.sync();
    return this.#statusOf(pending);
  }

  /** A PROBE: copies the device's answer (properties, then tail) to `answer` and returns the status. EIO, ETIMEDOUT. */
  probe(words: Uint32Array, answer: Uint8Array): number {
    const pa = this.#probeBuffer;
    if (pa === null) throw new IommuError('EIO', 'the device has no PROBE');
    this.sync();
    const slot = this.#free[this.#free.length - 1]!;
    const readable = words.length * 4;
    const pending = this.#place(slot, { pa, readable, writable: answer.length }, words);
    this.sync();
    const status = this.#statusOf(pending);
    if (!this.#memory.readBytes(BigInt(pa + readable), answer)) throw gone();
    return status;
  }

  /** Kicks the device and waits for everything outstanding. EIO: the device broke; ETIMEDOUT: it does not answer. */
  sync(): void {
    do {
      while (this.#backlog.length > 0 && this.#free.length > 0) this.#placeInOwn(this.#backlog.shift()!);
      this.#kickAndWait();
    } while (this.#backlog.length > 0);
  }

  #kickAndWait(): void {
    if (this.#broken) throw new IommuError('EIO', 'the device needs a reset');
    if (this.#queue.publish()) this.#mmio.notify(QUEUE.REQUEST);
    this.#collect();
    for (let n = 1; this.#outstanding > 0; n++) {
      if (n % POLLS_PER_STATUS === 0) this.#checkAlive();
      if (n > POLLS) throw new IommuError('ETIMEDOUT', 'the request queue does not answer');
      this.#time.relax();
      this.#collect();
    }
  }

  /** Takes a free slot and the buffer that belongs to it. */
  #placeInOwn(words: Uint32Array): Pending {
    const slot = this.#free[this.#free.length - 1]!;
    const pa = this.#buffers + slot * BUFFER_BYTES;
    return this.#place(slot, { pa, readable: words.length * 4, writable: TAIL_BYTES }, words);
  }

  #place(slot: number, placement: Placement, words: Uint32Array): Pending {
    const { pa, readable, writable } = placement;
    for (let i = 0; i < words.length; i++) {
      const at = pa + i * 4;
      if (!this.#memory.write32(paHi(at), paLo(at), words[i]! | 0)) throw gone();
    }
    const head = this.#describe(slot, pa, readable, writable);
    this.#free.pop();
    this.#placed[slot] = placement;
    const pending = { status: OUTSTANDING };
    this.#pending[slot] = pending;
    this.#outstanding++;
    this.#queue.offer(head);
    return pending;
  }

  /** Slot s owns descriptors 2s and 2s+1, or descriptor s and an indirect table of two. Returns the head. */
  #describe(slot: number, pa: number, readable: number, writable: number): number {
    const { NEXT, WRITE, INDIRECT } = DESCRIPTOR_FLAG;
    const head = this.#tables === null ? 2 * slot : slot;
    const before = this.#placed[slot];
    if (before?.pa === pa && before.readable === readable && before.writable === writable) return head;
    if (this.#tables === null) {
      this.#queue.describe(2 * slot, pa, readable, NEXT, 2 * slot + 1);
      this.#queue.describe(2 * slot + 1, pa + readable, writable, WRITE);
      return 2 * slot;
    }
    const table = this.#tables + slot * 2 * DESCRIPTOR.BYTES;
    this.#queue.describeAt(table, pa, readable, NEXT, 1);
    this.#queue.describeAt(table + DESCRIPTOR.BYTES, pa + readable, writable, WRITE);
    this.#queue.describe(slot, table, 2 * DESCRIPTOR.BYTES, INDIRECT);
    return slot;
  }

  #collect(): void {
    while (this.#queue.take()) {
      const id = this.#queue.usedId;
      const slot = this.#tables === null ? id / 2 : id;
      const pending = this.#pending[slot];
      if (!pending) {
        this.#broken = true;
        throw new IommuError('EIO', `the device returned buffer ${id}, which it did not have`);
      }
      this.#finish(slot, pending);
    }
  }

  #finish(slot: number, pending: Pending): void {
    const { pa, readable, writable } = this.#placed[slot]!;
    this.#pending[slot] = null;
    this.#free.push(slot);
    this.#outstanding--;
    pending.status = NO_STATUS;
    if (this.#queue.usedLength !== writable) return;
    const tail = pa + readable + writable - TAIL_BYTES;
    const word = tail - (tail % 4);
    if (!this.#memory.read32(paHi(word), paLo(word))) throw gone();
    pending.status = (this.#memory.lo >>> ((tail % 4) * 8)) & 0xff;
  }

  #statusOf({ status }: Pending): number {
    if (status === NO_STATUS) throw new IommuError('EIO', 'the device returned a request without a status');
    return status;
  }

  #checkAlive(): void {
    if ((this.#mmio.status & STATUS.DEVICE_NEEDS_RESET) === 0) return;
    this.#broken = true;
    throw new IommuError('EIO', 'the device needs a reset');
  }
}

const gone = (): IommuError => new IommuError('EIO', 'a request buffer does not answer');
