import { ACCESS, type DmaRequest } from '@iommukit/core';
import { FAULT_BYTES, FAULT_FLAG, FAULT_WORD, type FaultCode } from '../format/events.ts';
import type { Chain } from './chain.ts';
import { BROKEN, EMPTY, type Virtqueue } from './virtqueue.ts';

/** What the producer asks of the device around it. */
export interface EventHost {
  /** Queues may be used now. */
  readonly running: boolean;
  used(): void;
  fail(): void;
  /** Called only when somebody listens. */
  observed(words: Int32Array): void;
}

/**
 * Fault reports on the event queue. Buffers wait there without any notification. Without one a report is dropped; one
 * too small for the report is given back empty, and the report is dropped too. Virtio 1.3 §5.13.6.9.
 */
export class EventProducer {
  private readonly words = new Int32Array(FAULT_BYTES / 4);
  private readonly queue: Virtqueue;
  private readonly chain: Chain;
  private readonly host: EventHost;

  constructor(queue: Virtqueue, chain: Chain, host: EventHost) {
    this.queue = queue;
    this.chain = chain;
    this.host = host;
  }

  /** Fills `record` and returns its words when the report reached the driver, else 0. */
  report(code: FaultCode, request: DmaRequest, record: Uint32Array): number {
    const { words } = this;
    const direction = request.access === ACCESS.WRITE ? FAULT_FLAG.WRITE : FAULT_FLAG.READ;
    words[FAULT_WORD.REASON] = code;
    words[FAULT_WORD.FLAGS] = FAULT_FLAG.ADDRESS | direction;
    words[FAULT_WORD.ENDPOINT] = request.device | 0;
    words[FAULT_WORD.ADDRESS] = request.iovaLo | 0;
    words[FAULT_WORD.ADDRESS + 1] = request.iovaHi | 0;
    if (!this.host.running || !this.queue.ready || !this.deliver()) return 0;
    for (let i = 0; i < words.length; i++) record[i] = words[i]!;
    this.host.observed(words);
    return words.length;
  }

  private deliver(): boolean {
    const head = this.queue.pop(this.chain);
    if (head === EMPTY) return false;
    const fits = head !== BROKEN && this.chain.writableBytes >= FAULT_BYTES;
    const written = fits && this.chain.write(0, this.words, FAULT_BYTES);
    if (head === BROKEN || (fits && !written) || !this.queue.push(head, fits ? FAULT_BYTES : 0)) {
      this.host.fail();
      return false;
    }
    const wanted = this.queue.finish();
    if (wanted === BROKEN) this.host.fail();
    else if (wanted === 1) this.host.used();
    return fits;
  }
}
