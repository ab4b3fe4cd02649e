import { wordsToBytes } from '@iommukit/bits';
import type { DmaAnswer, DmaRequest, HardwareProbe, InterruptLine, PhysicalMemory } from '@iommukit/core';
import { RECORD_INDEX, REGISTERS, STATUS_LOST } from '../format/registers.ts';
import { type Code, RECORD } from '../format/structures.ts';
import { wordOf } from './masks.ts';

const ACCESS_AT = RECORD.fields.ACCESS.lsb;
const RECORD_WORDS = 4;
const BASE = wordOf(REGISTERS.FLBASE);
const HEAD = wordOf(REGISTERS.FLHEAD);
const TAIL = wordOf(REGISTERS.FLTAIL);
const STATUS = wordOf(REGISTERS.STATUS);

/** Writes records; a full log loses the newest and says so in STATUS (manual 6). */
export class FaultLog {
  probe: HardwareProbe | null = null;
  readonly #words: Int32Array;
  readonly #memory: PhysicalMemory;
  readonly #line: InterruptLine | undefined;

  constructor(words: Int32Array, memory: PhysicalMemory, line: InterruptLine | undefined) {
    this.#words = words;
    this.#memory = memory;
    this.#line = line;
  }

  /** Makes the record in the answer; its length stays 0 when it was lost. */
  add(request: DmaRequest, code: Code, answer: DmaAnswer): void {
    const words = this.#words;
    const { record } = answer;
    record[0] = code | (request.access << ACCESS_AT);
    record[1] = request.device;
    record[2] = request.iovaLo;
    record[3] = request.iovaHi;
    const next = (words[TAIL]! + 1) & RECORD_INDEX;
    if (next === words[HEAD] || !this.#write(words[TAIL]!, record)) {
      words[STATUS]! |= STATUS_LOST;
      return;
    }
    answer.recordWords = RECORD_WORDS;
    words[TAIL] = next;
    if (this.probe !== null) this.probe.record?.('record', wordsToBytes(record.subarray(0, RECORD_WORDS)));
    this.#line?.pulse();
  }

  /** `| 0`: the port takes signed halves; a number above 2^31 that crosses a call would be allocated. */
  #write(index: number, record: Uint32Array): boolean {
    const hi = this.#words[BASE + 1]!;
    const lo = this.#words[BASE]! | (index << 4);
    const written = this.#memory.write64(hi, lo, record[1]! | 0, record[0]! | 0);
    return written && this.#memory.write64(hi, lo | 8, record[3]! | 0, record[2]! | 0);
  }
}
