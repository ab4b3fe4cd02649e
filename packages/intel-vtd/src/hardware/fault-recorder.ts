import { wordsToBytes } from '@iommukit/bits';
import type { DmaAnswer, DmaRequest } from '@iommukit/core';
import { ACCESS, FAULT_REASON, type FaultReason, faultReasonName, OUTCOME } from '@iommukit/core';
import { FAULT_CONDITIONS, FRCD_BYTES, REGISTERS } from '../format/index.ts';
import { EventMessage, FAULT_EVENT } from './event-message.ts';
import { STATUS, type UnitState } from './state.ts';

const FSTS = REGISTERS.FSTS.at / 4;
const PFO = 1;
const PPF = 2;
const IQE = 0x10;
const ICE = 0x20;
const ITE = 0x40;
const GROUP = PFO | PPF | IQE | ICE | ITE;
const FRI = 0xff00;

const F = 1 << 31;
const READ_TYPE = 1 << 30;
const PP = 1 << 31;
const EXE = 1 << 30;
const PRIV = 1 << 29;
const RECORD_WORDS = FRCD_BYTES / 4;

const QUALIFIED = new Uint8Array(256);
const REASON = new Uint8Array(256);
const REASON_NUMBER = new Map(Object.values(FAULT_REASON).map((number) => [faultReasonName(number) as string, number]));
for (const { code, qualified, reason } of FAULT_CONDITIONS.values()) {
  QUALIFIED[code] = qualified ? 1 : 0;
  REASON[code] = REASON_NUMBER.get(reason)!;
}

export const FAULT_STATUS = { IQE, ICE, ITE } as const;

/** Fault status, the fault records and their event. VT-d 7.1-7.3; the logging algorithm is that of 7.2.1. */
export class FaultRecorder {
  readonly event: EventMessage;
  /** Answers carry their record, but nothing is kept: for queries on a dump, none of which may disturb the next. */
  answerOnly = false;
  private readonly state: UnitState;
  private readonly first: number;
  private readonly count: number;
  private next = 0;

  constructor(state: UnitState) {
    this.state = state;
    const { cap, faultRecords } = state.features;
    this.first = (cap.FRO * FRCD_BYTES) / 4;
    this.count = Math.max(0, Math.min(faultRecords, (state.words.length - this.first) / RECORD_WORDS));
    this.event = new EventMessage(state, FAULT_EVENT, () => (this.state.words[FSTS]! & GROUP) !== 0);
  }

  reset(): void {
    this.next = 0;
  }

  /** A woken unit goes on after the newest record that is still pending. */
  resume(): void {
    const { words } = this.state;
    let index = (words[FSTS]! & FRI) >>> 8;
    if (index >= this.count) index = 0;
    for (let i = 0; i < this.count && words[this.top(index)]! < 0; i++) index = (index + 1) % this.count;
    this.next = index;
  }

  /** With translation and remapping both off the index starts over. */
  translationChanged(): void {
    if ((this.state.status & (STATUS.TES | STATUS.IRES)) === 0) this.next = 0;
  }

  /**
   * Ends a request with a fault: fills the answer and records, unless `suppressed` (an FPD bit stood on the way) and
   * the condition heeds that. `reason` overrides the condition's common word.
   */
  fault(code: number, request: DmaRequest, answer: DmaAnswer, suppressed: boolean, reason?: FaultReason): void {
    answer.outcome = OUTCOME.FAULT;
    answer.code = code;
    answer.reason = reason ?? (REASON[code] as FaultReason);
    answer.recordWords = 0;
    if (suppressed && QUALIFIED[code] === 1) return;
    fillRecord(answer.record, code, request);
    if (this.answerOnly || this.log(answer.record)) answer.recordWords = RECORD_WORDS;
  }

  /** A refusal that the architecture does not log. */
  refuse(answer: DmaAnswer, reason: FaultReason): void {
    answer.outcome = OUTCOME.FAULT;
    answer.code = -1;
    answer.reason = reason;
    answer.recordWords = 0;
  }

  /** Sets queue status bits; an event is due when the whole group was clear. */
  setStatus(bits: number): void {
    const already = this.event.pending;
    this.state.words[FSTS]! |= bits;
    this.event.raise(already);
  }

  get queueStopped(): boolean {
    return (this.state.words[FSTS]! & (IQE | ITE)) !== 0;
  }

  /** After software wrote FSTS or a record's F bit: PPF is the OR of all F. */
  statusWritten(): void {
    const { words } = this.state;
    let pending = false;
    for (let i = 0; i < this.count; i++) pending ||= words[this.top(i)]! < 0;
    words[FSTS] = pending ? words[FSTS]! | PPF : words[FSTS]! & ~PPF;
    this.event.statusCleared();
  }

  private log(record: Uint32Array): boolean {
    const { words } = this.state;
    if ((words[FSTS]! & PFO) !== 0 || this.count === 0) return false;
    const base = this.first + this.next * RECORD_WORDS;
    if (words[base + 3]! < 0) {
      words[FSTS]! |= PFO;
      return false;
    }
    const already = this.event.pending;
    for (let i = 0; i < RECORD_WORDS; i++) words[base + i] = record[i]!;
    if ((words[FSTS]! & PPF) === 0) words[FSTS] = (words[FSTS]! & ~FRI) | (this.next << 8) | PPF;
    this.next = (this.next + 1) % this.count;
    this.state.probe?.record?.('fault', wordsToBytes(record.subarray(0, RECORD_WORDS)));
    this.event.raise(already);
    return true;
  }

  private top(index: number): number {
    return this.first + index * RECORD_WORDS + 3;
  }
}

/** The 128-bit record with F set. A request's own PASID and privilege only: RID_PASID is not recorded. VT-d 9.9. */
function fillRecord(record: Uint32Array, code: number, request: DmaRequest): void {
  const prefix = request.pasid >= 0;
  record[0] = request.iovaLo & -4096;
  record[1] = request.iovaHi;
  record[2] = (request.device & 0xffff) | (prefix ? PP : 0);
  record[3] = code | (request.kind << 28) | F | (request.access === ACCESS.WRITE ? 0 : READ_TYPE);
  if (!prefix) return;
  record[2]! |= (request.privileged ? PRIV : 0) | (request.access === ACCESS.EXECUTE ? EXE : 0);
  record[3]! |= (request.pasid & 0xf_ffff) << 8;
}
