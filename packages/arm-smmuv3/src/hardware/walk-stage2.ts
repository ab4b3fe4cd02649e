import { EVENT } from '../format/events.ts';
import { INVALID_DESCRIPTOR, S2_BLOCK, S2_BLOCK64, S2_PAGE, S2_PAGE64, S2_TABLE, S2_TABLE64 } from '../format/pte.ts';
import { RIGHTS, STAGE1_ALL, stage2Rights } from './permission.ts';
import type { StreamConfig } from './stream-config.ts';
import { keepTable } from './table-cache.ts';
import type { TranslationCache } from './translation-cache.ts';
import { ADDRESS_HI, ENTRY, FLAGS_SHIFT, leafShape, SHAPE_MASK, SIZE_MASK } from './translation-entry.ts';
import type { UnitState } from './unit.ts';
import type { WalkFault } from './walk-fault.ts';

const AF = 1 << 10;
/** The level whose tables hold pages only. */
const LAST_LEVEL = 3;
const { IN_LO, OUT_HI, OUT_LO } = ENTRY;
const HIGH = FLAGS_SHIFT;
const ADDRESS = ADDRESS_HI;
const SIZE = SIZE_MASK;
const SHAPE = SHAPE_MASK;
const STAGE1_FREE = STAGE1_ALL;

/**
 * Stage 2: IPA to PA, from the cache or the tables. IHI 0070 3.4, Arm ARM D8.3. Nothing here knows why the IPA is
 * asked for: the caller checks rights and gives a fault its class.
 */
export class Stage2 {
  /** The answer of {@link resolve}. */
  paHi = 0;
  paLo = 0;
  lg2 = 0;
  rights = 0;
  private readonly unit: UnitState;
  private readonly cache: TranslationCache;
  private readonly tables: TranslationCache;
  private readonly fault: WalkFault;

  constructor(unit: UnitState, cache: TranslationCache, tables: TranslationCache, fault: WalkFault) {
    this.unit = unit;
    this.cache = cache;
    this.tables = tables;
    this.fault = fault;
  }

  /** Translates one IPA of a stream with stage 2 on; 0, or the event. */
  resolve(stream: StreamConfig, hi: number, lo: number): number {
    const bits = stream.s2InputBits;
    if (bits >= 32 ? hi >>> (bits - 32) !== 0 : hi !== 0 || lo >>> bits !== 0) return EVENT.F_TRANSLATION;
    const at = this.cache.find(stream.s2Tag, hi, lo);
    if (at < 0) return this.walk(stream, hi, lo);
    const words = this.cache.words;
    const out = words[at | OUT_HI]!;
    this.answer(out & ADDRESS, words[at | OUT_LO]! & ~SHAPE, words[at | IN_LO]! & SIZE, hi, lo);
    this.rights = out >>> HIGH;
    return 0;
  }

  /** The same from the tables alone; what is found is cached. */
  private walk(stream: StreamConfig, hi: number, lo: number): number {
    const { memory, probe } = this.unit;
    const stride = stream.s2GranuleLg2 - 3;
    const wide = stream.s2Wide;
    const tableMask = -1 << stream.s2GranuleLg2;
    const outShift = stream.s2OutputBits - 32;
    let tableHi = stream.s2TtbHi;
    let tableLo = stream.s2TtbLo;
    let shift = stream.s2RootShift;
    let mask = stream.s2RootMask;
    let level = stream.s2StartLevel;
    const known = this.tables.find(stream.s2Tag, hi, lo);
    if (known >= 0) {
      tableHi = this.tables.words[known | OUT_HI]! & ADDRESS;
      tableLo = this.tables.words[known | OUT_LO]! & ~SHAPE;
      shift = stream.s2GranuleLg2;
      mask = (1 << stride) - 1;
      level = LAST_LEVEL;
    }
    for (; ; level++) {
      const index = (shift >= 32 ? hi >> (shift - 32) : (lo >>> shift) | (hi << (32 - shift))) & mask;
      const at = tableLo | (index << 3);
      if (!memory.read64(tableHi, at)) return this.aborted(tableHi, at);
      const dLo = memory.lo;
      const dHi = memory.hi;
      if (probe !== null) this.observe(stream, level, tableHi, at, dLo, dHi);
      if ((dLo & 3) !== 3 || level === LAST_LEVEL) return this.leaf(stream, hi, lo, dHi, dLo, level, shift);
      tableHi = wide ? (dHi & 0xffff) | ((dLo & 0xf000) << 4) : dHi & 0xffff;
      tableLo = dLo & tableMask;
      if (tableHi >>> outShift !== 0) return EVENT.F_ADDR_SIZE;
      if (level === LAST_LEVEL - 1)
        keepTable(this.tables, stream.s2Tag, hi, lo, stream.s2GranuleLg2, tableHi, tableLo, 0);
      shift -= stride;
      mask = (1 << stride) - 1;
    }
  }

  /** Anything but a table: a page, a block where blocks may be, or nothing. */
  private leaf(s: StreamConfig, hi: number, lo: number, dHi: number, dLo: number, level: number, lg2: number): number {
    const valid = level === LAST_LEVEL ? (dLo & 3) === 3 : (dLo & 3) === 1 && ((s.s2Blocks >>> level) & 1) !== 0;
    if (!valid) return EVENT.F_TRANSLATION;
    const high = s.s2Wide ? (dLo & 0xf000) << 4 : 0;
    const outHi = (lg2 > 32 ? dHi & 0xffff & (-1 << (lg2 - 32)) : dHi & 0xffff) | high;
    const outLo = lg2 >= 32 ? 0 : dLo & (-1 << lg2);
    if (outHi >>> (s.s2OutputBits - 32) !== 0) return EVENT.F_ADDR_SIZE;
    if ((dLo & AF) === 0 && !s.s2Affd) return EVENT.F_ACCESS;
    const rights = stage2Rights(dLo, dHi, this.unit.features.xnx, s.s2Dirty) | STAGE1_FREE;
    this.cache.insert(s.s2Tag, hi, lo, lg2, outHi, outLo, rights, leafShape(level, s.s2GranuleLg2, lg2));
    this.answer(outHi, outLo, lg2, hi, lo);
    this.rights = rights;
    return 0;
  }

  /** Rights that a read of a stage-1 table or context descriptor needs; 0, or F_PERMISSION. */
  structureRead(stream: StreamConfig): number {
    if ((this.rights & RIGHTS.S2_READ) === 0) return EVENT.F_PERMISSION;
    return stream.s2Ptw && (this.rights & RIGHTS.S2_DEVICE) !== 0 ? EVENT.F_PERMISSION : 0;
  }

  private answer(outHi: number, outLo: number, lg2: number, hi: number, lo: number): void {
    if (lg2 < 32) {
      const low = (1 << lg2) - 1;
      this.paHi = outHi;
      this.paLo = outLo | (lo & low);
    } else {
      this.paHi = outHi | (hi & ((1 << (lg2 - 32)) - 1));
      this.paLo = lo;
    }
    this.lg2 = lg2;
  }

  private aborted(hi: number, lo: number): number {
    this.fault.fetchHi = hi;
    this.fault.fetchLo = lo;
    return EVENT.F_WALK_EABT;
  }

  private observe(stream: StreamConfig, level: number, hi: number, lo: number, dLo: number, dHi: number): void {
    const wide = stream.s2GranuleLg2 === 16;
    const kind = (dLo & 1) === 0 ? 0 : level === LAST_LEVEL ? 3 : (dLo & 2) !== 0 ? 2 : 1;
    const layouts = wide
      ? [INVALID_DESCRIPTOR, S2_BLOCK64, S2_TABLE64, S2_PAGE64]
      : [INVALID_DESCRIPTOR, S2_BLOCK, S2_TABLE, S2_PAGE];
    this.unit.observe(`stage 2 level ${level} descriptor`, hi, lo, layouts[kind]!, [dLo, dHi]);
  }
}
