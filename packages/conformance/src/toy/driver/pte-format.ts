import { PROT } from '@iommukit/core';
import type { PageTableFormat } from '@iommukit/page-table';
import { INDEX_BITS, LEVELS, PAGE_LG2, PTE_BITS } from '../format/pte.ts';
import type { ToyFeatures } from './probe.ts';

const ADDRESS_HI = 0x000f_ffff;
const ADDRESS_LO = ~0xfff;

/** The toy's tables as its driver writes them. A pointer is an entry without LEAF. */
export class ToyPteFormat implements PageTableFormat {
  readonly name = 'toy';
  readonly granuleLg2 = PAGE_LG2;
  readonly levels = LEVELS;
  readonly indexBits = INDEX_BITS;
  readonly rootIndexBits = INDEX_BITS;
  readonly outputBits: number;
  readonly leafLevels: number;
  lo = 0;
  hi = 0;

  constructor({ outputBits, largePages }: ToyFeatures) {
    this.outputBits = outputBits;
    this.leafLevels = largePages ? 0b111 : 0b001;
  }

  encodeLeaf(_level: number, paHi: number, paLo: number, prot: number): boolean {
    let bits = PTE_BITS.P | PTE_BITS.LEAF;
    if ((prot & PROT.READ) !== 0) bits |= PTE_BITS.R;
    if ((prot & PROT.WRITE) !== 0) bits |= PTE_BITS.W;
    if ((prot & PROT.READ) !== 0 && (prot & PROT.NOEXEC) === 0) bits |= PTE_BITS.X;
    this.hi = paHi;
    this.lo = paLo | bits;
    return true;
  }

  encodeTable(paHi: number, paLo: number): void {
    this.hi = paHi;
    this.lo = paLo | PTE_BITS.P;
  }

  isPresent(lo: number, _hi: number): boolean {
    return (lo & PTE_BITS.P) !== 0;
  }

  isTable(_level: number, lo: number, _hi: number): boolean {
    return (lo & PTE_BITS.LEAF) === 0;
  }

  decodeAddress(_level: number, lo: number, hi: number): void {
    this.hi = hi & ADDRESS_HI;
    this.lo = lo & ADDRESS_LO;
  }

  isDirty(_level: number, lo: number, _hi: number): boolean {
    return (lo & PTE_BITS.DIRTY) !== 0;
  }

  encodeClean(_level: number, lo: number, hi: number): void {
    this.hi = hi;
    this.lo = lo & ~PTE_BITS.DIRTY;
  }
}
