import {
  ACCESS,
  type DmaAnswer,
  type DmaRequest,
  FAULT_REASON,
  OUTCOME,
  PERMISSION,
  REQUEST_KIND,
} from '@iommukit/core';
import { PGTT, REGISTERS, TT } from '../format/index.ts';
import type { Caches } from './caches/caches.ts';
import { CONTEXT as CONTEXT_ } from './caches/context-cache.ts';
import { INFO as INFO_, IOTLB_SLOT as IOTLB_SLOT_ } from './caches/iotlb.ts';
import { PASID as PASID_, PASID_FLAG } from './caches/pasid-cache.ts';
import type { FaultRecorder } from './fault-recorder.ts';
import { FirstStage, SCALABLE_SS, walkFlags } from './first-stage.ts';
import { LegacyLookup } from './legacy-lookup.ts';
import { PasidLookup } from './pasid-lookup.ts';
import { inProtectedRegion } from './protected-memory.ts';
import {
  LCT_5,
  LGN_1,
  LGN_2,
  LGN_3,
  LGN_4,
  NOT_AN_INTERRUPT,
  RTA_1,
  RTA_2,
  RTA_4,
  RTA_5,
  SCT_5,
  SCT_6,
  SCT_7,
  SCT_9,
  SGN_4,
  SGN_5,
  SGN_6,
  SGN_7,
  SGN_8,
  SGN_10,
  SPT_5,
  SPT_6,
} from './reasons.ts';
import { SCALABLE_CONTEXT, SCT_4, ScalableLookup } from './scalable-lookup.ts';
import { READ, SecondStage, SS, WRITE } from './second-stage.ts';
import { MODE, type UnitState } from './state.ts';
import { inInterruptWindow } from './table-index.ts';

// V8 folds a module's own constants into the code and loads imported ones every time.
const INFO = INFO_;
const IOTLB_SLOT = IOTLB_SLOT_;
const CONTEXT = CONTEXT_;
const PASID = PASID_;

/** Second-stage results as legacy fault reasons; NOT_PRESENT has none of its own. */
const LEGACY_SS = Int32Array.of(0, 0x03, 0x07, 0, 0x0c, LGN_2, LGN_3, 0, 0, LGN_1);

const PAGE_4K = 12 << INFO.SIZE_SHIFT;
const FULL_RIGHTS = READ | WRITE;
const NO_PAGE_LG2 = 64;
const EXECUTE_MAJOR = 8;
const PMEN = REGISTERS.PMEN.at / 4;

/** The order of VT-d's checks for one request: prologue, IOTLB, tables, walk, record. */
export class Translator {
  readonly second: SecondStage;
  readonly first: FirstStage;
  /**
   * False: a request to the interrupt range is judged by the tables, like any other. For queries on a dump, which ask
   * what the tables say; a real request there is a message, or reason 29h.
   */
  interruptRange = true;
  private readonly state: UnitState;
  private readonly caches: Caches;
  private readonly recorder: FaultRecorder;
  private readonly legacyLookup: LegacyLookup;
  private readonly scalable: ScalableLookup;
  private readonly pasidLookup: PasidLookup;
  /** Of the request under way: an FPD bit was seen; nothing is mapped there. */
  private fpd = false;
  private absent = false;
  /** The IOTLB slot that holds its result. */
  private slot = 0;

  constructor(state: UnitState, caches: Caches, recorder: FaultRecorder) {
    this.state = state;
    this.caches = caches;
    this.recorder = recorder;
    this.second = new SecondStage(state);
    this.first = new FirstStage(state, this.second, caches.pasids);
    this.legacyLookup = new LegacyLookup(state, caches.contexts);
    this.scalable = new ScalableLookup(state, caches.contexts);
    this.pasidLookup = new PasidLookup(state, caches.contexts, caches.pasids);
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    const { device, pasid, iovaHi: hi, iovaLo: lo } = request;
    const mode = this.state.mode;
    const prefix = pasid >= 0;
    if (
      (mode !== MODE.LEGACY && mode !== MODE.SCALABLE) ||
      request.kind !== REQUEST_KIND.UNTRANSLATED ||
      device >>> 16 !== 0 ||
      (!prefix && inInterruptWindow(hi, lo) && this.interruptRange) ||
      (prefix && (mode === MODE.LEGACY || request.access === ACCESS.EXECUTE))
    ) {
      this.unusual(request, answer);
      return;
    }
    const at = this.caches.iotlb.lookup(device, prefix ? pasid : -1, prefix && request.privileged ? 1 : 0, hi, lo);
    if (at < 0 || !this.hit(at, request, answer)) this.miss(request, answer);
    if (this.state.words[PMEN]! < 0) this.protect(answer);
  }

  /** Answers from an IOTLB slot; false when the tables must be walked after all (a write that has to set D). */
  private hit(at: number, request: DmaRequest, answer: DmaAnswer): boolean {
    const data = this.caches.iotlb.data;
    const info = data[at + IOTLB_SLOT.INFO]!;
    const write = request.access === ACCESS.WRITE;
    if ((info & (write ? WRITE : READ)) === 0) {
      this.fpd = (info & INFO.FPD) !== 0;
      this.absent = (info & FULL_RIGHTS) === 0 && info >>> INFO.CODE_SHIFT === 0;
      this.finishFault(cachedCode(info, write), request, answer);
      return true;
    }
    if (write && (info & INFO.DIRTY) === 0) {
      this.caches.iotlb.remove(at);
      return false;
    }
    this.succeed(at, request, answer);
    return true;
  }

  private succeed(at: number, request: DmaRequest, answer: DmaAnswer): void {
    const data = this.caches.iotlb.data;
    const info = data[at + IOTLB_SLOT.INFO]!;
    const pageLg2 = (info >>> INFO.SIZE_SHIFT) & 0xff;
    const paHi = data[at + IOTLB_SLOT.PA_HI]!;
    const paLo = data[at + IOTLB_SLOT.PA_LO]! | (request.iovaLo & ((1 << pageLg2) - 1));
    if (inInterruptWindow(paHi, paLo)) {
      this.fpd = (info & INFO.FPD) !== 0;
      this.finishFault((info & INFO.LEGACY) === 0 ? SGN_8 : LGN_4, request, answer);
      return;
    }
    answer.paHi = paHi;
    answer.paLo = paLo;
    answer.permissions = info & FULL_RIGHTS;
    if (request.access === ACCESS.EXECUTE) answer.permissions |= PERMISSION.EXECUTE;
    const passes = (info & INFO.PASS_THROUGH) !== 0;
    answer.outcome = passes ? OUTCOME.BYPASS : OUTCOME.TRANSLATED;
    answer.pageSizeLg2 = passes ? NO_PAGE_LG2 : pageLg2;
  }

  private miss(request: DmaRequest, answer: DmaAnswer): void {
    this.fpd = false;
    this.absent = false;
    const code = this.state.mode === MODE.LEGACY ? this.legacyMiss(request) : this.scalableMiss(request);
    if (code !== 0) this.finishFault(code, request, answer);
    else this.succeed(this.slot, request, answer);
  }

  private finishFault(code: number, request: DmaRequest, answer: DmaAnswer): void {
    this.recorder.fault(code, request, answer, this.fpd, this.absent ? FAULT_REASON.NOT_PRESENT : undefined);
  }

  private legacyMiss(request: DmaRequest): number {
    const { device, iovaHi: hi, iovaLo: lo } = request;
    const at = this.legacyLookup.find(device);
    this.fpd = this.legacyLookup.fpd;
    if (at < 0) return -at;
    const data = this.caches.contexts.data;
    const did = data[at + CONTEXT.DID]!;
    const features = this.state.features;
    if (data[at + CONTEXT.KIND] === TT.PASS_THROUGH) {
      if (features.beyondHost(hi, lo)) return LGN_1;
      this.fill(request, hi, lo, INFO.PASS_THROUGH | INFO.LEGACY | INFO.DIRTY | PAGE_4K | FULL_RIGHTS, did, -1);
      return 0;
    }
    const levels = data[at + CONTEXT.LIMIT]!;
    if (features.beyondAperture(levels, hi, lo)) return LGN_1;
    const tableHi = data[at + CONTEXT.TABLE_HI]!;
    const tableLo = data[at + CONTEXT.TABLE_LO]!;
    const write = request.access === ACCESS.WRITE;
    const result = this.second.walk(did, tableHi, tableLo, levels, 0, hi, lo, write ? WRITE : READ, write);
    return this.secondDone(result, request, did, -1, true);
  }

  /** A second-stage walk's end, alone (legacy, or PGTT=SS): to the IOTLB, or to a fault reason. */
  private secondDone(result: number, request: DmaRequest, did: number, tagPasid: number, legacy: boolean): number {
    const write = request.access === ACCESS.WRITE;
    const mode = legacy ? INFO.LEGACY : 0;
    const { second } = this;
    if (result === SS.OK) {
      if (inInterruptWindow(second.paHi, second.paLo)) return legacy ? LGN_4 : SGN_8;
      const info = mode | second.rights | (second.dirty ? INFO.DIRTY : 0) | (second.pageLg2 << INFO.SIZE_SHIFT);
      this.fill(request, second.paHi, second.paLo, info, did, tagPasid);
      return 0;
    }
    this.absent = result === SS.NOT_PRESENT;
    const code = legacy ? LEGACY_SS[result]! : SCALABLE_SS[result]!;
    if (this.state.features.cap.CM && (result === SS.NOT_PRESENT || result === SS.RESERVED))
      this.fill(request, 0, 0, mode | INFO.NEGATIVE | PAGE_4K | (code << INFO.CODE_SHIFT), did, tagPasid);
    return code !== 0 ? code : write ? LGN_2 : LGN_3;
  }

  private fill(request: DmaRequest, paHi: number, paLo: number, info: number, did: number, tagPasid: number): void {
    this.slot = this.caches.iotlb.add(request, paHi, paLo, this.fpd ? info | INFO.FPD : info, did, tagPasid);
  }

  private scalableMiss(request: DmaRequest): number {
    const context = this.scalable.find(request.device);
    this.fpd = this.scalable.fpd;
    if (context < 0) return -context;
    const refused = this.checkPrefix(context, request);
    if (refused !== 0) return refused;
    const data = this.caches.contexts.data;
    const prefix = request.pasid >= 0;
    const pasid = prefix ? request.pasid : data[context + CONTEXT.RID_PASID]!;
    const privileged = prefix ? request.privileged : data[context + CONTEXT.RID_PRIV] === 1;
    const at = this.pasidLookup.find(context, request.device, pasid);
    this.fpd ||= this.pasidLookup.fpd;
    if (at < 0) return -at;
    const flags = this.caches.pasids.data[at + PASID.FLAGS]!;
    if (prefix && request.access === ACCESS.EXECUTE) return SPT_5;
    if (privileged && (flags & PASID_FLAG.SRE) === 0) return SPT_6;
    const pgtt = flags & 7;
    if (pgtt === PGTT.PASS_THROUGH) return this.passThrough(at, request, pasid);
    if (pgtt === PGTT.SECOND_STAGE) return this.secondOnly(at, request, pasid);
    return this.firstOrNested(at, request, pasid, privileged, pgtt === PGTT.NESTED);
  }

  /** What a request's PASID, or its absence, may not be. VT-d 7.1.3, SCT and SGN conditions. */
  private checkPrefix(context: number, request: DmaRequest): number {
    const data = this.caches.contexts.data;
    const kind = data[context + CONTEXT.KIND]!;
    const { pasid } = request;
    const inconsistent = (kind & SCALABLE_CONTEXT.EPTR) !== 0 && (kind & SCALABLE_CONTEXT.PASIDE) === 0;
    if (pasid < 0) return inconsistent ? SCT_4 : 0;
    if ((kind & SCALABLE_CONTEXT.PASIDE) === 0) return SCT_6;
    if (pasid >= 2 ** (this.state.features.ecap.PSS + 1)) return SGN_10;
    if (pasid > data[context + CONTEXT.LIMIT]!) return SCT_7;
    return pasid === data[context + CONTEXT.RID_PASID] ? SCT_9 : 0;
  }

  private passThrough(at: number, request: DmaRequest, pasid: number): number {
    const { iovaHi: hi, iovaLo: lo } = request;
    if (this.state.features.beyondHost(hi, lo)) return SGN_4;
    if (inInterruptWindow(hi, lo)) return SGN_8;
    const did = this.caches.pasids.data[at + PASID.DID]!;
    this.fill(request, hi, lo, INFO.PASS_THROUGH | INFO.DIRTY | PAGE_4K | FULL_RIGHTS, did, pasid);
    return 0;
  }

  private secondOnly(at: number, request: DmaRequest, pasid: number): number {
    const { iovaHi: hi, iovaLo: lo } = request;
    const data = this.caches.pasids.data;
    const did = data[at + PASID.DID]!;
    const levels = data[at + PASID.SS_LEVELS]!;
    if (this.state.features.beyondAperture(levels, hi, lo)) return SGN_5;
    const flags = walkFlags(data[at + PASID.FLAGS]!);
    const write = request.access === ACCESS.WRITE;
    const tableHi = data[at + PASID.SS_HI]!;
    const tableLo = data[at + PASID.SS_LO]!;
    const result = this.second.walk(did, tableHi, tableLo, levels, flags, hi, lo, write ? WRITE : READ, write);
    return this.secondDone(result, request, did, pasid, false);
  }

  private firstOrNested(at: number, request: DmaRequest, pasid: number, privileged: boolean, nested: boolean): number {
    const { first } = this;
    const write = request.access === ACCESS.WRITE;
    const code = first.walk(at, pasid, request.iovaHi, request.iovaLo, write, privileged, nested);
    if (code !== 0) return code;
    const info = INFO.FIRST_STAGE | first.rights | (first.dirty ? INFO.DIRTY : 0) | (first.pageLg2 << INFO.SIZE_SHIFT);
    this.fill(request, first.paHi, first.paLo, info, this.caches.pasids.data[at + PASID.DID]!, pasid);
    return 0;
  }

  /** Everything that does not go to the IOTLB: modes without tables, messages, ATS, prefixes that cannot be. */
  private unusual(request: DmaRequest, answer: DmaAnswer): void {
    this.fpd = false;
    this.absent = false;
    if (request.device >>> 16 !== 0) this.recorder.refuse(answer, FAULT_REASON.BAD_DEVICE);
    else if (request.kind !== REQUEST_KIND.UNTRANSLATED) this.ats(request, answer);
    else if (this.interruptRange && request.pasid < 0 && inInterruptWindow(request.iovaHi, request.iovaLo))
      this.message(request, answer);
    else this.withoutIotlb(request, answer);
  }

  private withoutIotlb(request: DmaRequest, answer: DmaAnswer): void {
    if (this.state.mode === MODE.OFF) {
      bypass(request, answer);
      if (this.state.words[PMEN]! < 0) this.protect(answer);
      return;
    }
    this.finishFault(this.blockedMode(request) || this.scalableMiss(request), request, answer);
  }

  /** What ends a request before any table is read. */
  private blockedMode(request: DmaRequest): number {
    const { mode, features } = this.state;
    if (mode === MODE.INCONSISTENT) return RTA_1;
    if (mode === MODE.ABORT) return RTA_4;
    const executes = request.pasid >= 0 && request.access === ACCESS.EXECUTE;
    if (executes && features.major >= EXECUTE_MAJOR) return RTA_5;
    return mode === MODE.LEGACY && request.pasid >= 0 ? RTA_2 : 0;
  }

  /** A write to the interrupt range is a message and goes to the interrupt path; nothing else may go there. */
  private message(request: DmaRequest, answer: DmaAnswer): void {
    if (request.access === ACCESS.WRITE) bypass(request, answer);
    else this.finishFault(NOT_AN_INTERRUPT, request, answer);
  }

  /** Translation and translated requests: no configuration offers ATS, so each ends in the refusal its tables give. */
  private ats(request: DmaRequest, answer: DmaAnswer): void {
    const { mode } = this.state;
    const code = mode === MODE.OFF ? 0 : this.blockedMode(request) || this.atsRefusal(request);
    if (code === 0) this.recorder.refuse(answer, FAULT_REASON.UNSUPPORTED);
    else this.finishFault(code, request, answer);
  }

  private atsRefusal(request: DmaRequest): number {
    if (this.state.mode === MODE.LEGACY) {
      const at = this.legacyLookup.find(request.device);
      this.fpd = this.legacyLookup.fpd;
      if (at < 0) return -at;
      return this.caches.contexts.data[at + CONTEXT.KIND] === TT.SECOND_STAGE_ATS ? 0 : LCT_5;
    }
    const at = this.scalable.find(request.device);
    this.fpd = this.scalable.fpd;
    if (at < 0) return -at;
    return (this.caches.contexts.data[at + CONTEXT.KIND]! & SCALABLE_CONTEXT.DTE) === 0 ? SCT_5 : 0;
  }

  /** Protected memory regions block without a record. VT-d 11.4.8; before version 2 remapped requests go through. */
  private protect(answer: DmaAnswer): void {
    if (answer.outcome === OUTCOME.FAULT) return;
    if (this.state.features.major < 2 && answer.outcome === OUTCOME.TRANSLATED) return;
    if (inProtectedRegion(this.state, answer.paHi, answer.paLo)) this.recorder.refuse(answer, FAULT_REASON.BLOCKED);
  }
}

function bypass(request: DmaRequest, answer: DmaAnswer): void {
  answer.outcome = OUTCOME.BYPASS;
  answer.paHi = request.iovaHi;
  answer.paLo = request.iovaLo;
  answer.pageSizeLg2 = NO_PAGE_LG2;
  answer.permissions = FULL_RIGHTS | (request.access === ACCESS.EXECUTE ? PERMISSION.EXECUTE : 0);
}

/** The fault reason of an IOTLB slot that lacks the right asked for. */
function cachedCode(info: number, write: boolean): number {
  const code = info >>> INFO.CODE_SHIFT;
  if (code !== 0) return code;
  if ((info & INFO.LEGACY) !== 0) return write ? LGN_2 : LGN_3;
  return write ? SGN_6 : SGN_7;
}
