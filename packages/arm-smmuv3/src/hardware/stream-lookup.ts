import { reader } from '@iommukit/bits';
import { EVENT } from '../format/events.ts';
import { REGISTERS, STRTAB_BASE_CFG } from '../format/registers.ts';
import { L1STD, STE } from '../format/ste.ts';
import type { ConfigCache } from './config-cache.ts';
import type { StreamConfig } from './stream-config.ts';
import type { Tags } from './tags.ts';
import type { UnitState } from './unit.ts';

const log2Size = reader(STRTAB_BASE_CFG.fields.LOG2SIZE);
const split = reader(STRTAB_BASE_CFG.fields.SPLIT);
const format = reader(STRTAB_BASE_CFG.fields.FMT);
const span = reader(L1STD.fields.Span);

const BASE = REGISTERS.STRTAB_BASE.at / 4;
const BASE_CFG = REGISTERS.STRTAB_BASE_CFG.at / 4;
const MAX_SPAN = 11;

/** Finds the stream table entry of a StreamID: IHI 0070 3.3.1 and 5.2. */
export class StreamLookup {
  /** Where a fetch aborted, after {@link find} answered F_STE_FETCH. */
  fetchHi = 0;
  fetchLo = 0;
  /** The event after {@link find} answered null. */
  fault = 0;
  private readonly unit: UnitState;
  private readonly cache: ConfigCache;
  private readonly tags: Tags;
  private readonly words = new Int32Array(16);
  private steHi = 0;
  private steLo = 0;

  constructor(unit: UnitState, cache: ConfigCache, tags: Tags) {
    this.unit = unit;
    this.cache = cache;
    this.tags = tags;
  }

  /** The stream's configuration, possibly with a fault of its own; null when none could be read, see {@link fault}. */
  find(sid: number): StreamConfig | null {
    const cached = this.cache.stream(sid);
    if (cached !== null) return cached;
    this.fault = this.locate(sid);
    if (this.fault !== 0) return null;
    if (!this.unit.readWords(this.steHi, this.steLo, this.words)) {
      this.aborted(this.steHi, this.steLo);
      return null;
    }
    if (this.unit.probe !== null) this.unit.observe('STE', this.steHi, this.steLo, STE, this.words);
    const stream = this.cache.addStream(sid);
    stream.load(this.words, this.unit.registers, this.unit.features, this.tags);
    return stream;
  }

  /** log2 of the number of streams the table can hold. */
  get sizeLg2(): number {
    return Math.min(log2Size(this.unit.registers, BASE_CFG), this.unit.features.sidBits);
  }

  /** StreamID bits below the level-1 index; reserved encodings act as 6. 0 for a linear table. */
  get splitLg2(): number {
    const { registers, features } = this.unit;
    if (!features.twoLevelStreams || format(registers, BASE_CFG) !== 1) return 0;
    const bits = split(registers, BASE_CFG);
    return bits === 8 || bits === 10 ? bits : 6;
  }

  /** The address of the entry of `sid` into steHi/steLo; 0, or the event. */
  private locate(sid: number): number {
    const bits = this.sizeLg2;
    if (bits < 32 && sid >>> bits !== 0) return EVENT.C_BAD_STREAMID;
    const splitLg2 = this.splitLg2;
    if (splitLg2 === 0) return this.locateLinear(sid);
    return this.locateTwoLevel(sid, splitLg2);
  }

  private locateLinear(sid: number): number {
    const { registers } = this.unit;
    this.baseAligned(log2Size(registers, BASE_CFG) + 6);
    this.steHi |= sid >>> 26;
    this.steLo |= sid << 6;
    return 0;
  }

  private locateTwoLevel(sid: number, splitLg2: number): number {
    this.baseAligned(Math.max(6, log2Size(this.unit.registers, BASE_CFG) - splitLg2 + 3));
    const index = sid >>> splitLg2;
    const hi = this.steHi | (index >>> 29);
    const lo = this.steLo | (index << 3);
    if (!this.readL1(index, hi, lo)) return this.aborted(hi, lo);
    return this.followL1(sid, splitLg2);
  }

  /** The level-1 descriptor into steHi/steLo, from the cache or memory. */
  private readL1(index: number, hi: number, lo: number): boolean {
    const { l1std } = this.cache;
    const slot = l1std.map.find(index, 0);
    if (slot >= 0) {
      this.steHi = l1std.hi[slot]!;
      this.steLo = l1std.lo[slot]!;
      return true;
    }
    const { memory, probe } = this.unit;
    if (!this.unit.read64(hi, lo)) return false;
    this.steHi = memory.hi;
    this.steLo = memory.lo;
    if (probe !== null) this.unit.observe('L1STD', hi, lo, L1STD, [this.steLo, this.steHi]);
    l1std.store(index, 0, this.steHi, this.steLo);
    return true;
  }

  private followL1(sid: number, splitLg2: number): number {
    this.words[0] = this.steLo;
    const spanLg2 = span(this.words, 0);
    if (spanLg2 === 0 || spanLg2 > MAX_SPAN || spanLg2 > splitLg2 + 1) return EVENT.C_BAD_STREAMID;
    const index = sid & ((1 << splitLg2) - 1);
    if (index >= 1 << (spanLg2 - 1)) return EVENT.C_BAD_STREAMID;
    this.steHi &= 0x00ff_ffff;
    this.steLo = (this.steLo & (-1 << (spanLg2 + 5))) | (index << 6);
    return 0;
  }

  /** STRTAB_BASE.ADDR with its low `lg2` bits taken as zero. */
  private baseAligned(lg2: number): void {
    const { registers } = this.unit;
    const hi = registers[BASE + 1]! & 0x00ff_ffff;
    this.steHi = lg2 > 32 ? (lg2 >= 64 ? 0 : hi & (-1 << (lg2 - 32))) : hi;
    this.steLo = lg2 >= 32 ? 0 : registers[BASE]! & (-1 << lg2);
  }

  private aborted(hi: number, lo: number): number {
    this.fetchHi = hi;
    this.fetchLo = lo;
    this.fault = EVENT.F_STE_FETCH;
    return this.fault;
  }
}
