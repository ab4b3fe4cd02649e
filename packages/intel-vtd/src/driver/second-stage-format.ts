import { maskOf } from '@iommukit/bits';
import { PROT } from '@iommukit/core';
import type { PageTableFormat } from '@iommukit/page-table';
import { SECOND_STAGE_PTE, SSLPS } from '../format/index.ts';

const bit = (name: 'R' | 'W' | 'PS' | 'D' | 'SNP'): number => Number(maskOf(SECOND_STAGE_PTE.fields[name]));
const R = bit('R');
const W = bit('W');
const PS = bit('PS');
const D = bit('D');
const SNP = bit('SNP');
const ADDRESS_LO = -4096;
const ADDRESS_HI = Number(maskOf(SECOND_STAGE_PTE.fields.ADDR) >> 32n);

export interface SecondStageShape {
  readonly levels: number;
  readonly outputBits: number;
  /** CAP.SSLPS. */
  readonly superpages: number;
  /** A mapping without WRITE cannot be held: nesting parents, erratum 772415. */
  readonly needsWrite: boolean;
}

/**
 * Second-stage tables (VT-d 9.8). Level 0 is the manual's SS-PTE, level 4 its SS-PML5E. There is no present bit: an entry
 * that gives no right is absent.
 */
export class SecondStageFormat implements PageTableFormat {
  readonly name = 'vtd-second-stage';
  readonly granuleLg2 = 12;
  readonly indexBits = 9;
  readonly rootIndexBits = 9;
  readonly levels: number;
  readonly outputBits: number;
  readonly leafLevels: number;
  lo = 0;
  hi = 0;
  /** Leaves written from now on are snooped (SNP). */
  snoop = false;
  private readonly needsWrite: boolean;

  constructor({ levels, outputBits, superpages, needsWrite }: SecondStageShape) {
    this.levels = levels;
    this.outputBits = outputBits;
    this.leafLevels =
      1 | ((superpages & SSLPS.SIZE_2M) !== 0 ? 0b010 : 0) | ((superpages & SSLPS.SIZE_1G) !== 0 ? 0b100 : 0);
    this.needsWrite = needsWrite;
  }

  encodeLeaf(level: number, paHi: number, paLo: number, prot: number): boolean {
    const rights = ((prot & PROT.READ) !== 0 ? R : 0) | ((prot & PROT.WRITE) !== 0 ? W : 0);
    if (rights === 0 || (this.needsWrite && (rights & W) === 0)) return false;
    this.lo = paLo | rights | (level > 0 ? PS : 0) | (this.snoop ? SNP : 0);
    this.hi = paHi;
    return true;
  }

  encodeTable(paHi: number, paLo: number): void {
    this.lo = paLo | R | W;
    this.hi = paHi;
  }

  isPresent(lo: number, _hi: number): boolean {
    return (lo & (R | W)) !== 0;
  }

  isTable(_level: number, lo: number, _hi: number): boolean {
    return (lo & PS) === 0;
  }

  decodeAddress(_level: number, lo: number, hi: number): void {
    this.lo = lo & ADDRESS_LO;
    this.hi = hi & ADDRESS_HI;
  }

  isDirty(_level: number, lo: number, _hi: number): boolean {
    return (lo & D) !== 0;
  }

  encodeClean(_level: number, lo: number, hi: number): void {
    this.lo = lo & ~D;
    this.hi = hi;
  }
}
