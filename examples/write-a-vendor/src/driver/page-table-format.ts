import { hiOf, loOf, maskOf } from '@iommukit/bits';
import { PROT } from '@iommukit/core';
import type { PageTableFormat } from '@iommukit/page-table';
import { PTE } from '../format/structures.ts';

const PRESENT = PTE.encode({ P: true })[0]!;
const WRITABLE = PTE.encode({ W: true })[0]!;
const ADDR_LO = loOf(maskOf(PTE.fields.ADDR));
const ADDR_HI = hiOf(maskOf(PTE.fields.ADDR));

/** Three levels of 512 entries, 4 KiB pages at the last one only. READ is implied: the entry has no bit for it. */
export class TurnstileFormat implements PageTableFormat {
  readonly name = 'turnstile';
  readonly granuleLg2 = 12;
  readonly levels = 3;
  readonly indexBits = 9;
  readonly rootIndexBits = 9;
  readonly outputBits = 52;
  readonly leafLevels = 0b1;
  lo = 0;
  hi = 0;

  encodeLeaf(_level: number, paHi: number, paLo: number, prot: number): boolean {
    this.hi = paHi;
    this.lo = paLo | PRESENT | ((prot & PROT.WRITE) !== 0 ? WRITABLE : 0);
    return true;
  }

  encodeTable(paHi: number, paLo: number): void {
    this.hi = paHi;
    this.lo = paLo | PRESENT;
  }

  isPresent(lo: number): boolean {
    return (lo & PRESENT) !== 0;
  }

  /** No leaves above the last level. */
  isTable(): boolean {
    return true;
  }

  decodeAddress(_level: number, lo: number, hi: number): void {
    this.lo = lo & ADDR_LO;
    this.hi = hi & ADDR_HI;
  }
}
