import { CD, L1CD } from '../format/cd.ts';
import { EVENT, EVENT_CLASS } from '../format/events.ts';
import type { ConfigCache } from './config-cache.ts';
import type { ContextConfig } from './context-config.ts';
import type { StreamConfig } from './stream-config.ts';
import type { Tags } from './tags.ts';
import type { UnitState } from './unit.ts';
import type { WalkFault } from './walk-fault.ts';
import type { Stage2 } from './walk-stage2.ts';

/** Finds the context descriptor of a substream: IHI 0070 3.3.2 and 5.3. With stage 2 on its tables lie in IPA space. */
export class ContextLookup {
  /** The event after {@link find} answered null. A stage-2 fault has {@link WalkFault} filled in, class CD. */
  fault = 0;
  /** {@link fault} came from stage 2. */
  byStage2 = false;
  /** Where a fetch aborted (F_CD_FETCH): the PA. */
  fetchHi = 0;
  fetchLo = 0;
  private readonly unit: UnitState;
  private readonly cache: ConfigCache;
  private readonly tags: Tags;
  private readonly stage2: Stage2;
  private readonly walkFault: WalkFault;
  private readonly words = new Int32Array(16);
  private atHi = 0;
  private atLo = 0;

  constructor(unit: UnitState, cache: ConfigCache, tags: Tags, stage2: Stage2, walkFault: WalkFault) {
    this.unit = unit;
    this.cache = cache;
    this.tags = tags;
    this.stage2 = stage2;
    this.walkFault = walkFault;
  }

  /** The context, possibly with a fault of its own; null when none could be read, see {@link fault}. */
  find(stream: StreamConfig, ssid: number): ContextConfig | null {
    const cached = this.cache.context(stream, ssid);
    if (cached !== null) return cached;
    this.byStage2 = false;
    this.fault = this.locate(stream, ssid) || this.throughStage2(stream) || this.fetch();
    if (this.fault !== 0) return null;
    const context = this.cache.addContext(stream, ssid);
    context.load(this.words, stream, this.unit.features, this.tags);
    return context;
  }

  private fetch(): number {
    if (!this.unit.readWords(this.atHi, this.atLo, this.words)) return this.aborted();
    if (this.unit.probe !== null) this.unit.observe('CD', this.atHi, this.atLo, CD, this.words);
    return 0;
  }

  /** Address of the descriptor (an IPA with stage 2 on) into atHi/atLo. */
  private locate(stream: StreamConfig, ssid: number): number {
    if (stream.leafLg2 !== 0) return this.locateTwoLevel(stream, ssid);
    const size = 64 << stream.s1CdMax;
    this.atHi = stream.contextHi;
    this.atLo = (stream.contextLo & -size) | (ssid << 6);
    return 0;
  }

  private locateTwoLevel(stream: StreamConfig, ssid: number): number {
    const index = ssid >>> stream.leafLg2;
    const { l1cd } = this.cache;
    let slot = l1cd.map.find(stream.slot, index);
    if (slot < 0) {
      const code = this.fetchL1(stream, index);
      if (code !== 0) return code;
      slot = l1cd.map.find(stream.slot, index);
    }
    const lo = l1cd.lo[slot]!;
    const hi = l1cd.hi[slot]! & 0x00ff_ffff;
    const bits = stream.stage2 ? this.unit.features.ias : this.unit.features.oas;
    if ((lo & 1) === 0 || hi >>> (bits - 32) !== 0) return EVENT.C_BAD_SUBSTREAMID;
    this.atHi = hi;
    this.atLo = (lo & -(64 << stream.leafLg2)) | ((ssid & ((1 << stream.leafLg2) - 1)) << 6);
    return 0;
  }

  private fetchL1(stream: StreamConfig, index: number): number {
    const size = stream.s1CdMax > stream.leafLg2 ? 8 << (stream.s1CdMax - stream.leafLg2) : 8;
    this.atHi = stream.contextHi;
    this.atLo = (stream.contextLo & -size) | (index << 3);
    const code = this.throughStage2(stream);
    if (code !== 0) return code;
    const { memory, probe } = this.unit;
    if (!this.unit.read64(this.atHi, this.atLo)) return this.aborted();
    const lo = memory.lo;
    const hi = memory.hi;
    if (probe !== null) this.unit.observe('L1CD', this.atHi, this.atLo, L1CD, [lo, hi]);
    this.cache.l1cd.store(stream.slot, index, hi, lo);
    return 0;
  }

  private throughStage2(stream: StreamConfig): number {
    if (!stream.stage2) return 0;
    const hi = this.atHi;
    const lo = this.atLo;
    const code = this.stage2.resolve(stream, hi, lo) || this.stage2.structureRead(stream);
    if (code !== 0) {
      this.byStage2 = true;
      return this.walkFault.stage2(code, EVENT_CLASS.CD, hi, lo);
    }
    this.atHi = this.stage2.paHi;
    this.atLo = this.stage2.paLo;
    return 0;
  }

  private aborted(): number {
    this.fetchHi = this.atHi;
    this.fetchLo = this.atLo;
    return EVENT.F_CD_FETCH;
  }
}
