import { EVENT, EVENT_CLASS } from '../format/events.ts';
import { INVALID_DESCRIPTOR, S1_BLOCK, S1_BLOCK64, S1_PAGE, S1_PAGE64, S1_TABLE, S1_TABLE64 } from '../format/pte.ts';
import type { ContextConfig, Half } from './context-config.ts';
import { stage1Rights } from './permission.ts';
import type { StreamConfig } from './stream-config.ts';
import type { UnitState } from './unit.ts';
import type { WalkFault } from './walk-fault.ts';
import type { Stage2 } from './walk-stage2.ts';

const AF = 1 << 10;

/** Stage 1: a virtual address through the tables of one half; with stage 2 on, every table address goes through it. */
export class Stage1 {
  /** The leaf {@link walk} found: output address of the input, its size, rights, level. */
  outHi = 0;
  outLo = 0;
  lg2 = 0;
  level = 0;
  rights = 0;
  private readonly unit: UnitState;
  private readonly stage2: Stage2;
  private readonly fault: WalkFault;
  private nextHi = 0;
  private nextLo = 0;

  constructor(unit: UnitState, stage2: Stage2, fault: WalkFault) {
    this.unit = unit;
    this.stage2 = stage2;
    this.fault = fault;
  }

  /** 0, or the event with {@link WalkFault} filled in. Permissions are left to the caller. */
  walk(stream: StreamConfig, context: ContextConfig, half: Half, hi: number, lo: number): number {
    const memory = this.unit.memory;
    const nested = stream.s2Tag >= 0;
    const stride = half.granuleLg2 - 3;
    let tableHi = half.ttbHi;
    let tableLo = half.ttbLo;
    let shift = half.rootShift;
    let mask = half.rootMask;
    let above = 0;
    for (let level = half.startLevel; ; level++) {
      const index = (shift >= 32 ? hi >>> (shift - 32) : (lo >>> shift) | (hi << (32 - shift))) & mask;
      let atHi = tableHi;
      let atLo = tableLo | (index << 3);
      if (nested) {
        const code = this.tableThroughStage2(stream, atHi, atLo);
        if (code !== 0) return code;
        atHi = this.stage2.paHi;
        atLo = this.stage2.paLo;
      }
      if (!memory.read64(atHi, atLo)) return this.aborted(atHi, atLo);
      const dLo = memory.lo;
      const dHi = memory.hi;
      if (this.unit.probe !== null) this.observe(half, level, atHi, atLo, dLo, dHi);
      if ((dLo & 1) === 0) return this.fault.stage1(EVENT.F_TRANSLATION);
      const table = (dLo & 2) !== 0 && level < 3;
      if (!table && level < 3 ? ((half.blocks >>> level) & 1) === 0 : (dLo & 2) === 0 && level === 3)
        return this.fault.stage1(EVENT.F_TRANSLATION);
      this.next(half, dHi, dLo, table ? half.granuleLg2 : shift);
      if (this.nextHi >>> (half.outputBits - 32) !== 0) return this.fault.stage1(EVENT.F_ADDR_SIZE);
      if (!table) return this.leaf(context, hi, lo, dHi, dLo, half.had ? 0 : above, level, shift);
      above |= dHi;
      tableHi = this.nextHi;
      tableLo = this.nextLo;
      shift -= stride;
      mask = (1 << stride) - 1;
    }
  }

  private leaf(
    context: ContextConfig,
    hi: number,
    lo: number,
    dHi: number,
    dLo: number,
    above: number,
    level: number,
    lg2: number,
  ): number {
    if ((dLo & AF) === 0 && !context.affd) return this.fault.stage1(EVENT.F_ACCESS);
    this.rights = stage1Rights(dLo, dHi, above, context.control);
    this.lg2 = lg2;
    this.level = level;
    if (lg2 < 32) {
      this.outHi = this.nextHi;
      this.outLo = this.nextLo | (lo & ((1 << lg2) - 1));
    } else {
      this.outHi = this.nextHi | (hi & ((1 << (lg2 - 32)) - 1));
      this.outLo = lo;
    }
    return 0;
  }

  /** A table's IPA: all of stage 2 comes before the stage-1 checks of its level (CLASS = TT). */
  private tableThroughStage2(stream: StreamConfig, hi: number, lo: number): number {
    const code = this.stage2.resolve(stream, hi, lo) || this.stage2.structureRead(stream);
    return code === 0 ? 0 : this.fault.stage2(code, EVENT_CLASS.TT, hi, lo);
  }

  private next(half: Half, dHi: number, dLo: number, lg2: number): void {
    const high = half.granuleLg2 === 16 && this.unit.features.oas >= 52 ? (dLo & 0xf000) << 4 : 0;
    this.nextHi = (lg2 > 32 ? dHi & 0xffff & (-1 << (lg2 - 32)) : dHi & 0xffff) | high;
    this.nextLo = lg2 >= 32 ? 0 : dLo & (-1 << lg2);
  }

  private aborted(hi: number, lo: number): number {
    this.fault.stage1(EVENT.F_WALK_EABT);
    this.fault.class = EVENT_CLASS.TT;
    this.fault.fetchHi = hi;
    this.fault.fetchLo = lo;
    return EVENT.F_WALK_EABT;
  }

  private observe(half: Half, level: number, hi: number, lo: number, dLo: number, dHi: number): void {
    const kind = (dLo & 1) === 0 ? 0 : level === 3 ? 3 : (dLo & 2) !== 0 ? 2 : 1;
    const layouts =
      half.granuleLg2 === 16
        ? [INVALID_DESCRIPTOR, S1_BLOCK64, S1_TABLE64, S1_PAGE64]
        : [INVALID_DESCRIPTOR, S1_BLOCK, S1_TABLE, S1_PAGE];
    this.unit.observe(`stage 1 level ${level} descriptor`, hi, lo, layouts[kind]!, [dLo, dHi]);
  }
}
