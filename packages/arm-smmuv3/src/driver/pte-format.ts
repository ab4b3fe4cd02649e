import { type Field, hiOf, maskOf } from '@iommukit/bits';
import { PROT } from '@iommukit/core';
import type { PageTableFormat } from '@iommukit/page-table';
import { DESCRIPTOR, S1_PAGE, S2_PAGE } from '../format/pte.ts';
import type { Geometry64 } from './geometry.ts';

const lo = (field: Field, value = 1): number => (value << field.lsb) | 0;
const hi = (field: Field): number => hiOf(maskOf(field));

const S1 = S1_PAGE.fields;
const S2 = S2_PAGE.fields;
const AF = lo(S1.AF);
const AP1 = lo(S1.AP1);
const AP2 = lo(S1.AP2);
const NG = lo(S1.nG);
const DBM_HI = hi(S1.DBM);
const S1_XN_HI = hi(S1.PXN) | hi(S1.UXN);
/** XN[1:0] = 0b10 executes nowhere, with XNX or without. */
const S2_XN_HI = 1 << (S2.XN.msb - 32);
const OSH = 2;
const ISH = 3;
/** AttrIndx, see MAIR0 in cd.ts. */
const ATTR = { NC: 0, CACHE: 1, DEVICE: 2 } as const;
/** Stage-2 MemAttr: Normal write-back, Normal non-cacheable, Device-nGnRE; with S2FWB write-back is another code. */
const MEMATTR = { CACHE: 0xf, CACHE_FWB: 0x6, NC: 0x5, DEVICE: 0x1 } as const;

/** What the two stages share: where addresses lie, and which levels may hold leaves. */
abstract class DescriptorFormat implements PageTableFormat {
  abstract readonly name: string;
  readonly granuleLg2: number;
  readonly levels: number;
  readonly indexBits: number;
  readonly rootIndexBits: number;
  readonly outputBits: number;
  readonly leafLevels: number;
  lo = 0;
  hi = 0;
  private readonly addressLo: number;
  private readonly wide: boolean;

  /** `outputBits` above 48 need 64 KiB granules. */
  constructor({ granuleLg2, levels, rootIndexBits }: Geometry64, outputBits: number) {
    this.granuleLg2 = granuleLg2;
    this.levels = levels;
    this.indexBits = granuleLg2 - 3;
    this.rootIndexBits = rootIndexBits;
    this.outputBits = outputBits;
    const blocks = granuleLg2 === 12 ? 0b111 : 0b11;
    this.leafLevels = blocks & (2 ** levels - 1);
    this.addressLo = -(2 ** granuleLg2);
    this.wide = granuleLg2 === 16;
  }

  abstract encodeLeaf(level: number, paHi: number, paLo: number, prot: number): boolean;

  encodeTable(paHi: number, paLo: number): void {
    this.put(paHi, paLo, 0, DESCRIPTOR.TABLE);
  }

  isPresent(entryLo: number, _entryHi: number): boolean {
    return (entryLo & 1) !== 0;
  }

  isTable(_level: number, entryLo: number, _entryHi: number): boolean {
    return (entryLo & 3) === DESCRIPTOR.TABLE;
  }

  /** 64 KiB granules carry address bits 51:48 in bits 15:12, where smaller ones have address bits. */
  decodeAddress(_level: number, entryLo: number, entryHi: number): void {
    this.lo = entryLo & this.addressLo;
    this.hi = entryHi & 0xffff;
    if (this.wide) this.hi |= (entryLo & 0xf000) << 4;
  }

  protected put(paHi: number, paLo: number, attributesHi: number, attributesLo: number): void {
    this.lo = paLo | attributesLo;
    this.hi = (paHi & 0xffff) | attributesHi;
    if (this.wide) this.lo |= (paHi >>> 4) & 0xf000;
  }
}

/** Stage-1 descriptors (Arm ARM D8.3), non-global. A write-only page is not to be had: it can be read too. */
export class Stage1Format extends DescriptorFormat {
  readonly name = 'VMSAv8-64 stage 1';
  readonly isDirty?: (level: number, lo: number, hi: number) => boolean;
  readonly encodeClean?: (level: number, lo: number, hi: number) => void;
  private readonly dbmHi: number;

  constructor(geometry: Geometry64, outputBits: number, dirty: boolean) {
    super(geometry, outputBits);
    this.dbmHi = dirty ? DBM_HI : 0;
    if (!dirty) return;
    this.isDirty = (_level, entryLo, entryHi) => (entryHi & DBM_HI) !== 0 && (entryLo & AP2) === 0;
    this.encodeClean = (_level, entryLo, entryHi) => {
      this.lo = entryLo | AP2;
      this.hi = entryHi;
    };
  }

  override encodeLeaf(level: number, paHi: number, paLo: number, prot: number): boolean {
    if ((prot & (PROT.READ | PROT.WRITE)) === 0) return false;
    const cached = (prot & PROT.CACHE) !== 0;
    const attr = (prot & PROT.MMIO) !== 0 ? ATTR.DEVICE : cached ? ATTR.CACHE : ATTR.NC;
    let low = level === 0 ? DESCRIPTOR.PAGE : DESCRIPTOR.BLOCK;
    low |= lo(S1.AttrIndx, attr) | lo(S1.SH, cached ? ISH : OSH) | AF | NG;
    if ((prot & PROT.PRIV) === 0) low |= AP1;
    let high = (prot & PROT.NOEXEC) !== 0 ? S1_XN_HI : 0;
    if ((prot & PROT.WRITE) === 0) low |= AP2;
    else high |= this.dbmHi;
    this.put(paHi, paLo, high, low);
    return true;
  }
}

/** Stage-2 descriptors. S2AP says reading and writing apart. */
export class Stage2Format extends DescriptorFormat {
  readonly name = 'VMSAv8-64 stage 2';
  private readonly cacheAttr: number;

  constructor(geometry: Geometry64, outputBits: number, fwb: boolean) {
    super(geometry, outputBits);
    this.cacheAttr = fwb ? MEMATTR.CACHE_FWB : MEMATTR.CACHE;
  }

  override encodeLeaf(level: number, paHi: number, paLo: number, prot: number): boolean {
    const s2ap = prot & (PROT.READ | PROT.WRITE);
    if (s2ap === 0) return false;
    const cached = (prot & PROT.CACHE) !== 0;
    const attr = (prot & PROT.MMIO) !== 0 ? MEMATTR.DEVICE : cached ? this.cacheAttr : MEMATTR.NC;
    let low = level === 0 ? DESCRIPTOR.PAGE : DESCRIPTOR.BLOCK;
    low |= lo(S2.MemAttr, attr) | lo(S2.S2AP, s2ap) | lo(S2.SH, cached ? ISH : OSH) | AF;
    this.put(paHi, paLo, (prot & PROT.NOEXEC) !== 0 ? S2_XN_HI : 0, low);
    return true;
  }
}
