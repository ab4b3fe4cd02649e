import { ensure } from '@iommukit/core';
import { IommufdObject } from './object.ts';
import type { RecordStream } from './stream.ts';
import type { ViommuObject } from './viommu.ts';

const HEADER_BYTES = 8;
const LOST_EVENTS = 1;
const SEQUENCE_MASK = 0x7fff_ffff;
export const MAX_EVENT_DEPTH = 1 << 19;

interface Event {
  readonly sequence: number;
  /** null: the header that says events were lost. */
  readonly payload: Uint8Array | null;
}

/** Events of one type from a vIOMMU to its VMM: header {flags, sequence}, then the vendor's record. */
export class EventQueue extends IommufdObject implements RecordStream {
  readonly type = 'veventq';
  readonly viommu: ViommuObject;
  readonly eventType: number;
  readonly depth: number;
  onReadable: (() => void) | null = null;
  #events: Event[] = [];
  /** What the last read took. */
  #taken: Event[] = [];
  #queued = 0;
  #sequence = 0;

  private constructor(viommu: ViommuObject, eventType: number, depth: number) {
    super(viommu.context);
    this.viommu = viommu;
    this.eventType = eventType;
    this.depth = depth;
  }

  /** EINVAL: depth 0 or above 2^19; EEXIST: the vIOMMU has a queue of this type. The open file holds it. */
  static create(viommu: ViommuObject, eventType: number, depth: number): EventQueue {
    ensure(!viommu.eventQueues.has(eventType), 'EEXIST', `there is a queue of type ${eventType}`);
    viommu.context.injector.use('alloc');
    const queue = new EventQueue(viommu, eventType, depth);
    viommu.retain();
    viommu.eventQueues.set(eventType, queue);
    queue.retain();
    queue.context.hold();
    return queue;
  }

  get readable(): boolean {
    return this.#events.length > 0;
  }

  /**
   * Queues an event; a full queue drops it, which the reader sees as a LOST header or a gap in the sequence. So does one
   * there is no memory for, and that is ENOMEM besides.
   */
  report(payload: Uint8Array): void {
    ensure(payload.length > 0, 'EINVAL', 'an event has a payload');
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) & SEQUENCE_MASK;
    if (this.#events.at(-1)?.payload === null) this.#events.pop();
    try {
      const room = this.#queued < this.depth;
      if (room) this.context.injector.use('alloc');
      this.#events.push({ sequence, payload: room ? payload.slice() : null });
      if (room) this.#queued++;
    } catch (error) {
      this.#events.push({ sequence, payload: null });
      throw error;
    } finally {
      this.onReadable?.();
    }
  }

  /** EINVAL: less room than a header, or than the first event. */
  read(count: number): Uint8Array {
    ensure(count >= HEADER_BYTES, 'EINVAL', 'no room for a header');
    let fit = 0;
    for (let room = count; fit < this.#events.length; fit++) {
      room -= sizeOf(this.#events[fit]!);
      if (room < 0) break;
    }
    ensure(fit > 0 || !this.readable, 'EINVAL', 'no room for the first event');
    this.#taken = this.#events.splice(0, fit);
    this.#queued -= countEvents(this.#taken);
    return Buffer.concat(this.#taken.map(encode));
  }

  unread(): void {
    this.#queued += countEvents(this.#taken);
    this.#events = [...this.#taken, ...this.#events];
    this.#taken = [];
  }

  close(): void {
    this.onReadable = null;
    this.release();
    this.context.drop();
  }

  dispose(): void {
    this.viommu.eventQueues.delete(this.eventType);
    this.viommu.release();
  }
}

const sizeOf = ({ payload }: Event): number => HEADER_BYTES + (payload?.length ?? 0);

const countEvents = (events: readonly Event[]): number => events.filter(({ payload }) => payload !== null).length;

function encode({ sequence, payload }: Event): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + (payload?.length ?? 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload ? 0 : LOST_EVENTS, true);
  view.setUint32(4, sequence, true);
  if (payload) bytes.set(payload, HEADER_BYTES);
  return bytes;
}
