import { wordsToBytes } from '@iommukit/bits';
import type { DmaAnswer, DmaRequest, HardwarePorts, HardwareProbe } from '@iommukit/core';
import type { Code } from '../format/events.ts';
import { EVENT_BYTES, EVENT_ENTRIES, EVENT_IRQ } from '../format/registers.ts';

const WORDS = EVENT_BYTES / 4;

/** Writes event records into the ring. A full ring drops the event; the caller then sets EVT_LOST. */
export class EventProducer {
  probe: HardwareProbe | null = null;
  private readonly ports: HardwarePorts;

  constructor(ports: HardwarePorts) {
    this.ports = ports;
  }

  /** Fills `answer.record` for `request`. */
  describe(code: Code, request: DmaRequest, answer: DmaAnswer): void {
    const { record } = answer;
    record.fill(0, 0, WORDS);
    record[0] = code | (request.access << 8) | (request.pasid >= 0 ? 1 << 10 : 0);
    record[1] = request.pasid >= 0 ? request.pasid : 0;
    record[2] = request.device;
    record[4] = request.iovaLo;
    record[5] = request.iovaHi;
    answer.recordWords = WORDS;
  }

  /** Writes the record at `tail` of the ring; returns the new tail, or -1 when the ring is full or cannot be written. */
  write(baseHi: number, baseLo: number, head: number, tail: number, record: Uint32Array): number {
    const next = (tail + 1) % EVENT_ENTRIES;
    if (next === head) return -1;
    for (let i = 0; i < WORDS; i++) {
      if (!this.ports.memory.write32(baseHi, (baseLo + tail * EVENT_BYTES + i * 4) | 0, record[i]! | 0)) return -1;
    }
    this.probe?.record?.('event', wordsToBytes(record.subarray(0, WORDS)));
    this.ports.irq[EVENT_IRQ]!.pulse();
    return next;
  }
}
