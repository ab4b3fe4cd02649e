import type { HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { CODE, type Code } from '../format/events.ts';
import { INDEX_BITS, LEVELS, PAGE_LG2, PTE, PTE_BITS, PTE_RESERVED } from '../format/pte.ts';
import { probeStructure } from './observe.ts';

const INDEX_MASK = 2 ** INDEX_BITS - 1;
const PAGE_MASK = 2 ** PAGE_LG2 - 1;

/**
 * A table walk, in plain numbers: addresses are halves, results stay in the fields, 0 means translated. It looks like C
 * because it is the unit's hot path.
 */
export class Walk {
  probe: HardwareProbe | null = null;
  /** The translated address, the leaf's permission bits (R, W, X of the entry) and log2 of its size. */
  paHi = 0;
  paLo = 0;
  permissions = 0;
  pageLg2 = 0;
  /** Where the host's leaf stands, and the leaf. */
  leafAtHi = 0;
  leafAtLo = 0;
  leafHi = 0;
  leafLo = 0;
  private readonly memory: PhysicalMemory;
  private readonly largePages: boolean;
  /** Bits of an address's high half past OUTPUT_BITS. */
  private readonly tooWide: number;
  private readonly words = new Uint32Array(2);

  constructor(memory: PhysicalMemory, largePages: boolean, outputBits: number) {
    this.memory = memory;
    this.largePages = largePages;
    this.tooWide = outputBits >= 52 ? 0 : (-1 << (outputBits - 32)) & 0x000f_ffff;
  }

  /** One table. The input address has at most 39 bits. */
  host(rootHi: number, rootLo: number, hi: number, lo: number): Code | 0 {
    let atHi = rootHi;
    let atLo = rootLo;
    for (let level = LEVELS - 1; ; level--) {
      const code = this.entry(atHi, atLo + indexOf(hi, lo, level) * 8, level);
      if (code !== 0) return code;
      atHi = this.leafHi & 0x000f_ffff;
      atLo = this.leafLo & ~PAGE_MASK;
      if ((this.leafLo & PTE_BITS.LEAF) !== 0) return this.land(level, lo);
    }
  }

  /** The guest's table over the host's; both permissions must hold. */
  nested(rootHi: number, rootLo: number, grootHi: number, grootLo: number, hi: number, lo: number): Code | 0 {
    let atHi = grootHi;
    let atLo = grootLo;
    for (let level = LEVELS - 1; ; level--) {
      let code = this.hostRead(rootHi, rootLo, atHi, atLo + indexOf(hi, lo, level) * 8);
      if (code === 0) code = this.entry(this.paHi, this.paLo, level);
      if (code !== 0) return code;
      atHi = this.leafHi & 0x000f_ffff;
      atLo = this.leafLo & ~PAGE_MASK;
      if ((this.leafLo & PTE_BITS.LEAF) === 0) continue;
      code = this.land(level, lo);
      return code === 0 ? this.combine(rootHi, rootLo) : code;
    }
  }

  /** After the guest's leaf: the host's translation of what it gave. */
  private combine(rootHi: number, rootLo: number): Code | 0 {
    const { permissions, pageLg2 } = this;
    const code = this.hostOf(rootHi, rootLo, this.paHi, this.paLo);
    if (code !== 0) return code;
    this.permissions &= permissions;
    if (pageLg2 < this.pageLg2) this.pageLg2 = pageLg2;
    return 0;
  }

  private hostRead(rootHi: number, rootLo: number, hi: number, lo: number): Code | 0 {
    const code = this.hostOf(rootHi, rootLo, hi, lo | 0);
    if (code !== 0) return code;
    return (this.permissions & PTE_BITS.R) === 0 ? CODE.PERMISSION : 0;
  }

  private hostOf(rootHi: number, rootLo: number, hi: number, lo: number): Code | 0 {
    return hi >>> 7 !== 0 ? CODE.ADDRESS_SIZE : this.host(rootHi, rootLo, hi, lo);
  }

  private entry(hi: number, at: number, level: number): Code | 0 {
    const { memory } = this;
    const lo = at | 0;
    if (!memory.read64(hi, lo)) return CODE.FETCH_ABORT;
    this.leafAtHi = hi;
    this.leafAtLo = lo;
    this.leafHi = memory.hi;
    this.leafLo = memory.lo;
    if (this.probe !== null) this.show(level);
    if ((this.leafLo & PTE_BITS.P) === 0) return CODE.NOT_PRESENT;
    if (((this.leafHi & PTE_RESERVED.HI) | (this.leafLo & PTE_RESERVED.LO)) !== 0) return CODE.BAD_ENTRY;
    if (level === 0 && (this.leafLo & PTE_BITS.LEAF) === 0) return CODE.BAD_ENTRY;
    if (level > 0 && !this.largePages && (this.leafLo & PTE_BITS.LEAF) !== 0) return CODE.BAD_ENTRY;
    return (this.leafHi & this.tooWide) !== 0 ? CODE.ADDRESS_SIZE : 0;
  }

  private land(level: number, lo: number): Code | 0 {
    const pageLg2 = PAGE_LG2 + level * INDEX_BITS;
    const inPage = 2 ** pageLg2 - 1;
    const base = this.leafLo & ~PAGE_MASK;
    if ((base & inPage) !== 0) return CODE.BAD_ENTRY;
    this.paHi = this.leafHi & 0x000f_ffff;
    this.paLo = base | (lo & inPage);
    this.pageLg2 = pageLg2;
    this.permissions = this.leafLo & (PTE_BITS.R | PTE_BITS.W | PTE_BITS.X);
    return 0;
  }

  private show(level: number): void {
    this.words[0] = this.leafLo;
    this.words[1] = this.leafHi;
    probeStructure(this.probe!, `level ${level} entry`, PTE, this.leafAtHi, this.leafAtLo, this.words);
  }
}

function indexOf(hi: number, lo: number, level: number): number {
  if (level === 0) return (lo >>> PAGE_LG2) & INDEX_MASK;
  if (level === 1) return (lo >>> (PAGE_LG2 + INDEX_BITS)) & INDEX_MASK;
  return ((lo >>> 30) | (hi << 2)) & INDEX_MASK;
}
