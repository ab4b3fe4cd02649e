import type { PageTableFormat } from '../src/index.ts';
import type { FormatConfig } from '../src/testing/index.ts';

interface Shape {
  readonly granuleLg2: number;
  readonly levels: number;
  readonly rootIndexBits: number;
  readonly leafLevels: number;
}

/** A made-up format: bit 0 present, bit 1 table, bit 2 writable, bit 62 dirty; address in [51:granule]. */
export class ToyFormat implements PageTableFormat {
  readonly name = 'toy';
  readonly granuleLg2: number;
  readonly levels: number;
  readonly indexBits: number;
  readonly rootIndexBits: number;
  readonly leafLevels: number;
  readonly outputBits = 52;
  lo = 0;
  hi = 0;

  constructor(shape: Shape) {
    this.granuleLg2 = shape.granuleLg2;
    this.levels = shape.levels;
    this.indexBits = shape.granuleLg2 - 3;
    this.rootIndexBits = shape.rootIndexBits;
    this.leafLevels = shape.leafLevels;
  }

  encodeLeaf(_level: number, paHi: number, paLo: number, prot: number): boolean {
    this.lo = paLo | 1 | ((prot & 2) << 1);
    this.hi = paHi;
    return (prot & 1) !== 0;
  }
  encodeTable(paHi: number, paLo: number): void {
    this.lo = paLo | 3;
    this.hi = paHi;
  }
  isPresent(lo: number): boolean {
    return (lo & 1) !== 0;
  }
  isTable(_level: number, lo: number): boolean {
    return (lo & 2) !== 0;
  }
  decodeAddress(_level: number, lo: number, hi: number): void {
    this.lo = lo & -4096;
    this.hi = hi & 0xfffff;
  }
  isDirty(_level: number, _lo: number, hi: number): boolean {
    return (hi & 0x4000_0000) !== 0;
  }
  encodeClean(_level: number, lo: number, hi: number): void {
    this.lo = lo;
    this.hi = hi & ~0x4000_0000;
  }
}

const config = (name: string, shape: Shape): FormatConfig => ({
  name,
  create: () => new ToyFormat(shape),
  prot: 3,
  badProt: 2,
  literals: [
    {
      title: 'a writable page',
      iova: 0n,
      pa: 0xf_1234_5678_0000n,
      pageSizeLg2: shape.granuleLg2,
      prot: 3,
      raw: 0xf_1234_5678_0005n,
    },
  ],
});

export const toyConfigs: readonly FormatConfig[] = [
  config('4K, 4 levels, blocks at 1 and 2', { granuleLg2: 12, levels: 4, rootIndexBits: 9, leafLevels: 0b111 }),
  config('4K, 5 levels, pages only', { granuleLg2: 12, levels: 5, rootIndexBits: 9, leafLevels: 1 }),
  config('4K, 3 levels, 8 tables in the root', { granuleLg2: 12, levels: 3, rootIndexBits: 12, leafLevels: 0b11 }),
  config('16K, 4 levels, a root of two entries', { granuleLg2: 14, levels: 4, rootIndexBits: 1, leafLevels: 0b11 }),
  config('64K, 3 levels, 16 tables in the root', { granuleLg2: 16, levels: 2, rootIndexBits: 17, leafLevels: 0b11 }),
];
