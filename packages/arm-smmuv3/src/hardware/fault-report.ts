import { type DmaAnswer, type DmaRequest, FAULT_REASON, type FaultReason, OUTCOME, type Outcome } from '@iommukit/core';
import { C_BAD_STE, EVENT, F_PERMISSION, F_TRANSLATION } from '../format/events.ts';
import type { EventProducer } from './event-producer.ts';
import type { WalkFault } from './walk-fault.ts';

const bit = (field: { readonly lsb: number }): number => 1 << (field.lsb % 32);
const SSV = bit(C_BAD_STE.fields.SSV);
const PNU = bit(F_TRANSLATION.fields.PnU);
const IND = bit(F_TRANSLATION.fields.InD);
const RNW = bit(F_TRANSLATION.fields.RnW);
const STAGE2 = bit(F_TRANSLATION.fields.S2);
const STALL = bit(F_TRANSLATION.fields.Stall);
const TTRNW = bit(F_PERMISSION.fields.TTRnW);
const CLASS_SHIFT = F_TRANSLATION.fields.CLASS.lsb % 32;
const SSID_SHIFT = C_BAD_STE.fields.SubstreamID.lsb;

/** The common reason of each event. */
const REASONS: Readonly<Record<number, FaultReason>> = {
  [EVENT.F_UUT]: FAULT_REASON.UNSUPPORTED,
  [EVENT.C_BAD_STREAMID]: FAULT_REASON.BAD_DEVICE,
  [EVENT.F_STE_FETCH]: FAULT_REASON.FETCH_ABORT,
  [EVENT.C_BAD_STE]: FAULT_REASON.BAD_CONFIG,
  [EVENT.F_BAD_ATS_TREQ]: FAULT_REASON.UNSUPPORTED,
  [EVENT.F_STREAM_DISABLED]: FAULT_REASON.BAD_PASID,
  [EVENT.F_TRANSL_FORBIDDEN]: FAULT_REASON.UNSUPPORTED,
  [EVENT.C_BAD_SUBSTREAMID]: FAULT_REASON.BAD_PASID,
  [EVENT.F_CD_FETCH]: FAULT_REASON.FETCH_ABORT,
  [EVENT.C_BAD_CD]: FAULT_REASON.BAD_CONFIG,
  [EVENT.F_WALK_EABT]: FAULT_REASON.FETCH_ABORT,
  [EVENT.F_TRANSLATION]: FAULT_REASON.NOT_PRESENT,
  [EVENT.F_ADDR_SIZE]: FAULT_REASON.ADDRESS_SIZE,
  [EVENT.F_ACCESS]: FAULT_REASON.ACCESS_FLAG,
  [EVENT.F_PERMISSION]: FAULT_REASON.PERMISSION,
};

/** Turns a refused request into an answer and, where the architecture records it, an event. IHI 0070 7.3. Every
 *  method but the first two answers FAULT. */
export class FaultReport {
  private readonly events: EventProducer;
  private request!: DmaRequest;
  private answer!: DmaAnswer;
  /** Access and privilege as the stream's overrides leave them. */
  access = 0;
  privileged = false;

  constructor(events: EventProducer) {
    this.events = events;
  }

  begin(request: DmaRequest, answer: DmaAnswer): void {
    this.request = request;
    this.answer = answer;
    this.access = request.access;
    this.privileged = request.privileged;
  }

  /** A refusal the architecture keeps silent about. */
  silent(reason: FaultReason): Outcome {
    this.answer.reason = reason;
    this.answer.code = -1;
    this.answer.recordWords = 0;
    return OUTCOME.FAULT;
  }

  /** An event that carries stream and substream only. */
  configuration(code: number, recorded: boolean): Outcome {
    this.start(code);
    if (code === EVENT.F_STREAM_DISABLED) this.answer.record[0] = code;
    if (code === EVENT.C_BAD_SUBSTREAMID) this.answer.record[0]! &= ~SSV;
    return this.finish(recorded);
  }

  /** F_STE_FETCH and F_CD_FETCH. */
  fetch(code: number, hi: number, lo: number): Outcome {
    this.start(code);
    this.last(hi, lo & ~7);
    return this.finish(true);
  }

  /** F_UUT: a kind of request this unit has no use for. */
  upstream(): Outcome {
    this.start(EVENT.F_UUT);
    this.answer.record[3] = this.attributes();
    this.input();
    return this.finish(true);
  }

  /** A translation-related fault; `where` tells stage, class and addresses. */
  translation(code: number, where: WalkFault, recorded: boolean, stall: boolean): Outcome {
    this.start(code);
    const { record } = this.answer;
    const walkAbort = code === EVENT.F_WALK_EABT;
    const tableRead = code === EVENT.F_PERMISSION && where.stage === 2 && where.class === 1;
    record[2] = stall && !walkAbort ? STALL : 0;
    record[3] =
      this.attributes() | (where.stage === 2 ? STAGE2 : 0) | (where.class << CLASS_SHIFT) | (tableRead ? TTRNW : 0);
    this.input();
    if (walkAbort) this.last(where.fetchHi, where.fetchLo & ~7);
    else if (where.stage === 2) this.last(where.ipaHi & 0x00ff_ffff, where.ipaLo & ~0xfff);
    return this.finish(recorded || walkAbort);
  }

  private attributes(): number {
    return (this.privileged ? PNU : 0) | (this.access === 2 ? IND : 0) | (this.access === 1 ? 0 : RNW);
  }

  private start(code: number): void {
    const { record } = this.answer;
    const { pasid, device } = this.request;
    record.fill(0, 0, 8);
    record[0] = code | (pasid >= 0 ? SSV | (pasid << SSID_SHIFT) : 0);
    record[1] = device;
    this.answer.code = code;
    this.answer.reason = REASONS[code] ?? FAULT_REASON.UNKNOWN;
  }

  private input(): void {
    this.answer.record[4] = this.request.iovaLo;
    this.answer.record[5] = this.request.iovaHi;
  }

  private last(hi: number, lo: number): void {
    this.answer.record[6] = lo;
    this.answer.record[7] = hi;
  }

  private finish(recorded: boolean): Outcome {
    this.answer.recordWords = recorded && this.events.emit(this.answer.record) ? 8 : 0;
    return OUTCOME.FAULT;
  }
}
