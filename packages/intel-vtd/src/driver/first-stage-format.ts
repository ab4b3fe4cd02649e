import { maskOf } from '@iommukit/bits';
import { PROT } from '@iommukit/core';
import type { PageTableFormat } from '@iommukit/page-table';
import { FIRST_STAGE_PTE } from '../format/index.ts';

const bit = (name: 'P' | 'RW' | 'US' | 'A' | 'D' | 'PS'): number => Number(maskOf(FIRST_STAGE_PTE.fields[name]));
const P = bit('P');
const RW = bit('RW');
const PS = bit('PS');
/** Accessed and dirty are set in advance: the walk may not be snooped, and then hardware must not have to set them. */
const TABLE = P | RW | bit('US') | bit('A');
const LEAF = P | bit('US') | bit('A');
const WRITABLE = RW | bit('D');
const ADDRESS_LO = -4096;
const ADDRESS_HI = Number(maskOf(FIRST_STAGE_PTE.fields.ADDR) >> 32n);
const READ_OR_WRITE = PROT.READ | PROT.WRITE;

export interface FirstStageShape {
  readonly levels: 4 | 5;
  readonly outputBits: number;
  /** CAP.FS1GP; 2 MiB pages always exist. */
  readonly gigabytePages: boolean;
}

/**
 * First-stage tables (VT-d 9.7). Level 0 is the manual's FS-PTE, level 4 its FS-PML5E. Whatever is present can be read:
 * a mapping without READ is readable all the same. Pages are user pages; privilege and execution are not told apart.
 */
export class FirstStageFormat implements PageTableFormat {
  readonly name = 'vtd-first-stage';
  readonly granuleLg2 = 12;
  readonly indexBits = 9;
  readonly rootIndexBits = 9;
  readonly levels: number;
  readonly outputBits: number;
  readonly leafLevels: number;
  lo = 0;
  hi = 0;

  constructor({ levels, outputBits, gigabytePages }: FirstStageShape) {
    this.levels = levels;
    this.outputBits = outputBits;
    this.leafLevels = gigabytePages ? 0b111 : 0b011;
  }

  encodeLeaf(level: number, paHi: number, paLo: number, prot: number): boolean {
    if ((prot & READ_OR_WRITE) === 0) return false;
    this.lo = paLo | LEAF | ((prot & PROT.WRITE) !== 0 ? WRITABLE : 0) | (level > 0 ? PS : 0);
    this.hi = paHi;
    return true;
  }

  encodeTable(paHi: number, paLo: number): void {
    this.lo = paLo | TABLE;
    this.hi = paHi;
  }

  isPresent(lo: number, _hi: number): boolean {
    return (lo & P) !== 0;
  }

  isTable(_level: number, lo: number, _hi: number): boolean {
    return (lo & PS) === 0;
  }

  decodeAddress(_level: number, lo: number, hi: number): void {
    this.lo = lo & ADDRESS_LO;
    this.hi = hi & ADDRESS_HI;
  }
}
