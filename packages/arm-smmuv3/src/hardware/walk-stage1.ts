import { EVENT, EVENT_CLASS } from '../format/events.ts';
import { INVALID_DESCRIPTOR, S1_BLOCK, S1_BLOCK64, S1_PAGE, S1_PAGE64, S1_TABLE, S1_TABLE64 } from '../format/pte.ts';
import type { ContextConfig, Half } from './context-config.ts';
import { stage1Rights } from './permission.ts';
import type { StreamConfig } from './stream-config.ts';
import { aboveTable, keepTable } from './table-cache.ts';
import type { TranslationCache } from './translation-cache.ts';
import { ADDRESS_HI, ENTRY, SHAPE_MASK } from './translation-entry.ts';
import type { UnitState } from './unit.ts';
import type { WalkFault } from './walk-fault.ts';
import type { Stage2 } from './walk-stage2.ts';

const AF = 1 << 10;
/** The level whose tables hold pages only. */
const LAST_LEVEL = 3;
const { OUT_HI, OUT_LO } = ENTRY;
const ADDRESS = ADDRESS_HI;
const SHAPE = SHAPE_MASK;

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
  private readonly tables: TranslationCache;
  private readonly fault: WalkFault;

  constructor(unit: UnitState, stage2: Stage2, tables: TranslationCache, fault: WalkFault) {
    this.unit = unit;
    this.stage2 = stage2;
    this.tables = tables;
    this.fault = fault;
  }

  /** 0, or the event with {@link WalkFault} filled in. Permissions are left to the caller. */
  walk(stream: StreamConfig, context: ContextConfig, half: Half, hi: number, lo: number): number {
    const { memory, probe } = this.unit;
    const nested = stream.s2Tag >= 0;
    const stride = half.granuleLg2 - 3;
    const tableMask = -1 << half.granuleLg2;
    const outShift = half.outputBits - 32;
    let tableHi = half.ttbHi;
    let tableLo = half.ttbLo;
    let shift = half.rootShift;
    let mask = half.rootMask;
    /** OR of the high halves of the table descriptors on the way: hierarchical permissions. */
    let above = 0;
    let level = half.startLevel;
    const known = this.tables.find(context.tag, hi, lo);
    if (known >= 0) {
      const { words } = this.tables;
      tableHi = words[known | OUT_HI]! & ADDRESS;
      tableLo = words[known | OUT_LO]! & ~SHAPE;
      above = aboveTable(words[known | OUT_HI]!);
      shift = half.granuleLg2;
      mask = (1 << stride) - 1;
      level = LAST_LEVEL;
    }
    for (; ; level++) {
      const index = (shift >= 32 ? hi >> (shift - 32) : (lo >>> shift) | (hi << (32 - shift))) & mask;
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
      if (probe !== null) this.observe(half, level, atHi, atLo, dLo, dHi);
      if ((dLo & 3) !== 3 || level === LAST_LEVEL) {
        this.level = level;
        this.lg2 = shift;
        return this.leaf(context, half, hi, lo, dHi, dLo, half.had ? 0 : above);
      }
      above |= dHi;
      tableHi = half.wide ? (dHi & 0xffff) | ((dLo & 0xf000) << 4) : dHi & 0xffff;
      tableLo = dLo & tableMask;
      if (tableHi >>> outShift !== 0) return this.fault.stage1(EVENT.F_ADDR_SIZE);
      if (level === LAST_LEVEL - 1)
        keepTable(this.tables, context.tag, hi, lo, half.granuleLg2, tableHi, tableLo, above);
      shift -= stride;
      mask = (1 << stride) - 1;
    }
  }

  /** Anything but a table: a page, a block where blocks may be, or nothing. */
  private leaf(
    context: ContextConfig,
    half: Half,
    hi: number,
    lo: number,
    dHi: number,
    dLo: number,
    above: number,
  ): number {
    const { level, lg2 } = this;
    const valid = level === LAST_LEVEL ? (dLo & 3) === 3 : (dLo & 3) === 1 && ((half.blocks >>> level) & 1) !== 0;
    if (!valid) return this.fault.stage1(EVENT.F_TRANSLATION);
    const high = half.wide ? (dLo & 0xf000) << 4 : 0;
    const outHi = (lg2 > 32 ? dHi & 0xffff & (-1 << (lg2 - 32)) : dHi & 0xffff) | high;
    if (outHi >>> (half.outputBits - 32) !== 0) return this.fault.stage1(EVENT.F_ADDR_SIZE);
    if ((dLo & AF) === 0 && !context.affd) return this.fault.stage1(EVENT.F_ACCESS);
    this.rights = stage1Rights(dLo, dHi, above, context.control);
    if (lg2 < 32) {
      this.outHi = outHi;
      this.outLo = (dLo & (-1 << lg2)) | (lo & ((1 << lg2) - 1));
    } else {
      this.outHi = outHi | (hi & ((1 << (lg2 - 32)) - 1));
      this.outLo = lo;
    }
    return 0;
  }

  /** A table's IPA: all of stage 2 comes before the stage-1 checks of its level (CLASS = TT). */
  private tableThroughStage2(stream: StreamConfig, hi: number, lo: number): number {
    const code = this.stage2.resolve(stream, hi, lo) || this.stage2.structureRead(stream);
    return code === 0 ? 0 : this.fault.stage2(code, EVENT_CLASS.TT, hi, lo);
  }

  private aborted(hi: number, lo: number): number {
    this.fault.stage1(EVENT.F_WALK_EABT);
    this.fault.class = EVENT_CLASS.TT;
    this.fault.fetchHi = hi;
    this.fault.fetchLo = lo;
    return EVENT.F_WALK_EABT;
  }

  private observe(half: Half, level: number, hi: number, lo: number, dLo: number, dHi: number): void {
    const kind = (dLo & 1) === 0 ? 0 : level === LAST_LEVEL ? 3 : (dLo & 2) !== 0 ? 2 : 1;
    const layouts =
      half.granuleLg2 === 16
        ? [INVALID_DESCRIPTOR, S1_BLOCK64, S1_TABLE64, S1_PAGE64]
        : [INVALID_DESCRIPTOR, S1_BLOCK, S1_TABLE, S1_PAGE];
    this.unit.observe(`stage 1 level ${level} descriptor`, hi, lo, layouts[kind]!, [dLo, dHi]);
  }
}
