import { reader } from '@iommukit/bits';
import { type DmaAnswer, type DmaRequest, FAULT_REASON, OUTCOME, type Outcome, REQUEST_KIND } from '@iommukit/core';
import { EVENT, EVENT_CLASS } from '../format/events.ts';
import { CR2, GBPA, REGISTERS } from '../format/registers.ts';
import { STE_CONFIG } from '../format/ste.ts';
import type { ConfigCache } from './config-cache.ts';
import { type ContextConfig, type Half, outOfRange } from './context-config.ts';
import type { ContextLookup } from './context-lookup.ts';
import type { FaultReport } from './fault-report.ts';
import { answerPermissions, RIGHTS, STAGE2_ALL, stage1Need, stage2Need } from './permission.ts';
import type { StreamConfig } from './stream-config.ts';
import type { StreamLookup } from './stream-lookup.ts';
import type { TranslationCache } from './translation-cache.ts';
import { ADDRESS_HI, ENTRY, FLAGS_SHIFT, leafShape, SIZE_MASK } from './translation-entry.ts';
import type { UnitState } from './unit.ts';
import type { WalkFault } from './walk-fault.ts';
import type { Stage1 } from './walk-stage1.ts';
import type { Stage2 } from './walk-stage2.ts';
import { WarmPath } from './warm-path.ts';

const recInvSid = reader(CR2.fields.RECINVSID);
const CR2_WORD = REGISTERS.CR2.at / 4;
const GBPA_WORD = REGISTERS.GBPA.at / 4;
const GBPA_ABORT = 1 << GBPA.fields.ABORT.lsb;
/** STE.PRIVCFG and INSTCFG. */
const OVERRIDE = { OFF: 2, ON: 3 } as const;
const NO_PAGE = 64;
// Imported constants are loaded each time they are used; a module's own are part of the code.
const { IN_LO, OUT_HI, OUT_LO } = ENTRY;
const HIGH = FLAGS_SHIFT;
const ADDRESS = ADDRESS_HI;
const SIZE = SIZE_MASK;
const STAGE2_FREE = STAGE2_ALL;
const NOT_GLOBAL = RIGHTS.NOT_GLOBAL;

export interface Parts {
  readonly unit: UnitState;
  readonly config: ConfigCache;
  readonly cache: TranslationCache;
  readonly streams: StreamLookup;
  readonly contexts: ContextLookup;
  readonly stage1: Stage1;
  readonly stage2: Stage2;
  readonly where: WalkFault;
  readonly report: FaultReport;
}

/** The path of one untranslated transaction, in the order of IHI 0070 3.12 and 15. */
export class Translator {
  private readonly unit: UnitState;
  private readonly config: ConfigCache;
  private readonly warm: WarmPath;
  private readonly cache: TranslationCache;
  private readonly streams: StreamLookup;
  private readonly contexts: ContextLookup;
  private readonly stage1: Stage1;
  private readonly stage2: Stage2;
  private readonly where: WalkFault;
  private readonly report: FaultReport;

  constructor(parts: Parts) {
    this.unit = parts.unit;
    this.config = parts.config;
    this.warm = new WarmPath(parts.unit, parts.config, parts.cache);
    this.cache = parts.cache;
    this.streams = parts.streams;
    this.contexts = parts.contexts;
    this.stage1 = parts.stage1;
    this.stage2 = parts.stage2;
    this.where = parts.where;
    this.report = parts.report;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    if (this.warm.translate(request, answer)) return;
    this.report.begin(request, answer);
    answer.outcome = this.warm.missed >= 0 ? this.cold(request, answer) : this.answer(request, answer);
  }

  /** An address that the warm path looked for in vain: what comes before the cache has been asked there. */
  private cold(request: DmaRequest, answer: DmaAnswer): Outcome {
    const stream = this.config.recent!;
    if (!stream.stage1) return this.withoutStage1(stream, request, answer);
    const context = stream.context0!;
    const hi = request.iovaHi;
    const lo = request.iovaLo;
    let at = this.cache.find(context.globalTag, hi, lo);
    if (at < 0) at = this.miss(stream, context, this.warm.half, hi, lo);
    return at < 0 ? OUTCOME.FAULT : this.hit(at, stream, context, hi, lo, answer);
  }

  private answer(request: DmaRequest, answer: DmaAnswer): Outcome {
    if (request.kind !== REQUEST_KIND.UNTRANSLATED) return this.report.upstream();
    if (!this.unit.enabled) return this.globalBypass(request, answer);
    const stream = this.streams.find(request.device);
    if (stream === null) return this.noStream();
    if (stream.fault !== 0) return this.report.configuration(stream.fault, true);
    if (stream.config === STE_CONFIG.ABORT) return this.report.silent(FAULT_REASON.BLOCKED);
    if (stream.privCfg + stream.instCfg !== 0) this.override(stream);
    const ssid = request.pasid;
    if (ssid >= 0 || stream.s1CdMax !== 0) {
      const code = this.substream(stream, ssid);
      if (code !== 0) return this.report.configuration(code, true);
    }
    if (stream.config === STE_CONFIG.BYPASS) return this.bypass(request, answer, this.unit.features.oas);
    if (!stream.stage1 || (ssid < 0 && stream.s1CdMax !== 0 && stream.s1Dss === 1))
      return this.withoutStage1(stream, request, answer);
    const context = this.contexts.find(stream, ssid < 0 ? 0 : ssid);
    if (context === null) return this.noContext(stream);
    if (context.fault !== 0) return this.report.configuration(context.fault, true);
    return this.withStage1(stream, context, request, answer);
  }

  /** SMMUEN = 0: GBPA decides, and nothing is recorded. IHI 0070 3.11. */
  private globalBypass(request: DmaRequest, answer: DmaAnswer): Outcome {
    const { registers, features } = this.unit;
    if ((registers[GBPA_WORD]! & GBPA_ABORT) !== 0) return this.report.silent(FAULT_REASON.BLOCKED);
    if (request.iovaHi >>> (features.oas - 32) !== 0) return this.report.silent(FAULT_REASON.ADDRESS_SIZE);
    return this.pass(request, answer);
  }

  private noStream(): Outcome {
    const { fault, fetchHi, fetchLo } = this.streams;
    if (fault === EVENT.F_STE_FETCH) return this.report.fetch(fault, fetchHi, fetchLo);
    return this.report.configuration(fault, recInvSid(this.unit.registers, CR2_WORD) === 1);
  }

  private noContext(stream: StreamConfig): Outcome {
    const { fault, byStage2, fetchHi, fetchLo } = this.contexts;
    if (byStage2) return this.stage2Fault(fault, stream);
    if (fault === EVENT.F_CD_FETCH) return this.report.fetch(fault, fetchHi, fetchLo);
    return this.report.configuration(fault, true);
  }

  private override(stream: StreamConfig): void {
    if (stream.privCfg >= OVERRIDE.OFF) this.report.privileged = stream.privCfg === OVERRIDE.ON;
    if (stream.instCfg === OVERRIDE.OFF && this.report.access === 2) this.report.access = 0;
    if (stream.instCfg === OVERRIDE.ON && this.report.access === 0) this.report.access = 2;
  }

  /** What a substream, or its absence, may be wrong about: IHI 0070 5.2 (S1DSS). 0, or the event. */
  private substream(stream: StreamConfig, ssid: number): number {
    if (ssid >= 0) {
      if (stream.s1CdMax === 0 || ssid >>> stream.s1CdMax !== 0) return EVENT.C_BAD_SUBSTREAMID;
      return ssid === 0 && stream.s1Dss === 2 ? EVENT.F_STREAM_DISABLED : 0;
    }
    return stream.s1Dss === 0 ? EVENT.F_STREAM_DISABLED : 0;
  }

  private bypass(request: DmaRequest, answer: DmaAnswer, bits: number): Outcome {
    if (request.iovaHi >>> (bits - 32) !== 0) return this.tooWide();
    return this.pass(request, answer);
  }

  private pass(request: DmaRequest, answer: DmaAnswer): Outcome {
    answer.paHi = request.iovaHi;
    answer.paLo = request.iovaLo;
    answer.pageSizeLg2 = NO_PAGE;
    answer.permissions = this.report.access === 2 ? 7 : 3;
    return OUTCOME.BYPASS;
  }

  /** The size fault of an input that no table translates: always recorded, never stalled. IHI 0070 3.4. */
  private tooWide(): Outcome {
    return this.report.translation(this.where.stage1(EVENT.F_ADDR_SIZE), this.where, true, false);
  }

  /** Stage 2 alone, or nothing: stage 1 is off or passed by (S1DSS). */
  private withoutStage1(stream: StreamConfig, request: DmaRequest, answer: DmaAnswer): Outcome {
    const hi = request.iovaHi;
    const lo = request.iovaLo;
    if (!stream.stage2) return this.bypass(request, answer, this.unit.features.ias);
    if (hi >>> (this.unit.features.ias - 32) !== 0) return this.tooWide();
    let code = this.stage2.resolve(stream, hi, lo);
    if (code === 0 && (this.stage2.rights & stage2Need(this.report.access, this.report.privileged)) === 0)
      code = EVENT.F_PERMISSION;
    if (code !== 0) return this.inputFault(code, stream, hi, lo);
    answer.paHi = this.stage2.paHi;
    answer.paLo = this.stage2.paLo;
    answer.pageSizeLg2 = this.stage2.lg2;
    answer.permissions = answerPermissions(this.stage2.rights, this.report.access, this.report.privileged);
    return OUTCOME.TRANSLATED;
  }

  private withStage1(stream: StreamConfig, context: ContextConfig, request: DmaRequest, answer: DmaAnswer): Outcome {
    const upper = (request.iovaHi >>> 23) & 1;
    const half = upper === 0 ? context.half0 : context.half1;
    const hi = half.tbi ? (request.iovaHi << 8) >> 8 : request.iovaHi;
    const lo = request.iovaLo;
    if ((half.e0pd && !this.report.privileged) || (half.enabled && outOfRange(half, hi, lo, -upper)))
      return this.stage1Fault(EVENT.F_TRANSLATION, context);
    let at = this.cache.find(context.tag, hi, lo);
    if (at < 0) at = this.cache.find(context.globalTag, hi, lo);
    if (at < 0) {
      if (!half.enabled) return this.stage1Fault(EVENT.F_TRANSLATION, context);
      at = this.miss(stream, context, half, hi, lo);
      if (at < 0) return OUTCOME.FAULT;
    }
    return this.hit(at, stream, context, hi, lo, answer);
  }

  /** An entry answers, if its rights allow the access: stage 1 is asked first. */
  private hit(
    at: number,
    stream: StreamConfig,
    context: ContextConfig,
    hi: number,
    lo: number,
    answer: DmaAnswer,
  ): Outcome {
    const words = this.cache.words;
    const out = words[at | OUT_HI]!;
    const rights = out >>> HIGH;
    const lg2 = words[at | IN_LO]! & SIZE;
    if ((rights & stage1Need(this.report.access, this.report.privileged)) === 0)
      return this.stage1Fault(EVENT.F_PERMISSION, context);
    const lowHi = lg2 < 32 ? 0 : (1 << (lg2 - 32)) - 1;
    const lowLo = lg2 < 32 ? (1 << lg2) - 1 : -1;
    if ((rights & stage2Need(this.report.access, this.report.privileged)) === 0) {
      const ipaHi = (this.cache.between[at >>> 2]! & ~lowHi) | (hi & lowHi);
      const ipaLo = (this.cache.between[(at >>> 2) + 1]! & ~lowLo) | (lo & lowLo);
      return this.inputFault(EVENT.F_PERMISSION, stream, ipaHi, ipaLo);
    }
    answer.paHi = (out & ADDRESS) | (hi & lowHi);
    answer.paLo = (words[at | OUT_LO]! & ~lowLo) | (lo & lowLo);
    answer.pageSizeLg2 = lg2;
    answer.permissions = answerPermissions(rights, this.report.access, this.report.privileged);
    return OUTCOME.TRANSLATED;
  }

  /** Walks and caches. The new entry, or -1 with the fault reported. */
  private miss(stream: StreamConfig, context: ContextConfig, half: Half, hi: number, lo: number): number {
    const { stage1, stage2 } = this;
    const code = stage1.walk(stream, context, half, hi, lo);
    if (code !== 0) {
      if (this.where.stage === 2) this.stage2Fault(code, stream);
      else this.stage1Recorded(code, context);
      return -1;
    }
    if (!stream.stage2)
      return this.fill(context, half, hi, lo, stage1.lg2, stage1.rights | STAGE2_FREE, stage1.outHi, stage1.outLo);
    if ((stage1.rights & stage1Need(this.report.access, this.report.privileged)) === 0) {
      this.stage1Fault(EVENT.F_PERMISSION, context);
      return -1;
    }
    const final = stage2.resolve(stream, stage1.outHi, stage1.outLo);
    if (final !== 0) {
      this.inputFault(final, stream, stage1.outHi, stage1.outLo);
      return -1;
    }
    const rights = stage1.rights | (stage2.rights & STAGE2_FREE);
    const lg2 = stage1.lg2 < stage2.lg2 ? stage1.lg2 : stage2.lg2;
    const at = this.fill(context, half, hi, lo, lg2, rights, stage2.paHi, stage2.paLo);
    this.cache.between[at >>> 2] = stage1.outHi;
    this.cache.between[(at >>> 2) + 1] = stage1.outLo;
    return at;
  }

  /** A new entry for the page of 2^lg2 bytes around the input, which goes to `outHi:outLo`. */
  private fill(
    context: ContextConfig,
    half: Half,
    hi: number,
    lo: number,
    lg2: number,
    rights: number,
    outHi: number,
    outLo: number,
  ): number {
    const { stage1 } = this;
    const tag = (rights & NOT_GLOBAL) !== 0 ? context.tag : context.globalTag;
    const maskHi = lg2 < 32 ? -1 : -1 << (lg2 - 32);
    const maskLo = lg2 < 32 ? -1 << lg2 : 0;
    const shape = leafShape(stage1.level, half.granuleLg2, stage1.lg2);
    return this.cache.insert(tag, hi, lo, lg2, outHi & maskHi, outLo & maskLo, rights, shape);
  }

  private stage1Fault(code: number, context: ContextConfig): Outcome {
    return this.stage1Recorded(this.where.stage1(code), context);
  }

  private stage1Recorded(code: number, context: ContextConfig): Outcome {
    return this.report.translation(code, this.where, context.record, context.stall);
  }

  /** A stage-2 fault of the access itself (CLASS = IN). */
  private inputFault(code: number, stream: StreamConfig, hi: number, lo: number): Outcome {
    return this.stage2Fault(this.where.stage2(code, EVENT_CLASS.IN, hi, lo), stream);
  }

  private stage2Fault(code: number, stream: StreamConfig): Outcome {
    return this.report.translation(code, this.where, stream.s2Record, stream.s2Stall);
  }
}
