import { PROT } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { FirstStageFormat } from '../../src/driver/first-stage-format.ts';
import { SecondStageFormat } from '../../src/driver/second-stage-format.ts';

const R = PROT.READ;
const W = PROT.WRITE;
const low = (value: number): string => (value >>> 0).toString(16);

describe('second-stage entries', () => {
  const format = (more = {}) =>
    new SecondStageFormat({ levels: 4, outputBits: 46, superpages: 3, needsWrite: false, ...more });

  it.each([
    // A-legacy-strict/README.md: read-only 1, write-only 2, read-write 3; bit 7 makes a large page.
    [0, R, '12345001'],
    [0, W, '12345002'],
    [0, R | W, '12345003'],
    [1, R | W, '12345083'],
    [2, R, '12345081'],
    [0, R | W | PROT.CACHE | PROT.NOEXEC | PROT.MMIO | PROT.PRIV, '12345003'],
  ])('a leaf at level %i with protection %i', (level, prot, expected) => {
    const f = format();
    expect(f.encodeLeaf(level, 0x2a, 0x1234_5000, prot)).toBe(true);
    expect([low(f.lo), f.hi]).toEqual([expected, 0x2a]);
  });

  it('refuses a leaf without rights, and in a nesting parent one without write', () => {
    expect(format().encodeLeaf(0, 0, 0x1000, PROT.CACHE)).toBe(false);
    expect(format({ needsWrite: true }).encodeLeaf(0, 0, 0x1000, R)).toBe(false);
    expect(format({ needsWrite: true }).encodeLeaf(0, 0, 0x1000, W)).toBe(true);
  });

  it('snoops in leaves only', () => {
    const f = format();
    f.snoop = true;
    f.encodeLeaf(0, 0, 0x1000, R);
    expect(low(f.lo)).toBe('1801');
    f.encodeTable(0, 0x1000);
    expect(low(f.lo)).toBe('1003');
  });

  it('has the page sizes of SSLPS', () => {
    expect([0, 1, 3].map((superpages) => format({ superpages }).leafLevels)).toEqual([1, 3, 7]);
  });

  it('knows a dirty leaf by bit 9 and ignores what software and reserved bits hold', () => {
    const f = format();
    expect(f.isDirty(0, 0x203, 0)).toBe(true);
    expect(f.isDirty(0, 0x1fc03 & ~0x200, 0)).toBe(false);
    f.encodeClean(0, 0x1303, 7);
    expect([low(f.lo), f.hi]).toEqual(['1103', 7]);
    expect(f.isPresent(0x400, -1)).toBe(false);
    f.decodeAddress(0, 0x1234_5fff, 0xfff0_002a | 0);
    expect([low(f.lo), f.hi]).toEqual(['12345000', 0x2a]);
  });
});

describe('first-stage entries', () => {
  const format = (more = {}) => new FirstStageFormat({ levels: 4, outputBits: 46, gigabytePages: false, ...more });

  it.each([
    // C-scalable-first-stage/README.md: 0x67 and 0x25, 0xe7 and 0xa5 for 2 MiB. There is no write-only page.
    [0, R | W, '12345067'],
    [0, W, '12345067'],
    [0, R, '12345025'],
    [1, R | W, '123450e7'],
    [1, R, '123450a5'],
  ])('a leaf at level %i with protection %i', (level, prot, expected) => {
    const f = format();
    expect(f.encodeLeaf(level, 0x2a, 0x1234_5000, prot)).toBe(true);
    expect([low(f.lo), f.hi]).toEqual([expected, 0x2a]);
  });

  it('a table: present, writable, user, accessed (27h; the capture has a software bit on top)', () => {
    const f = format();
    f.encodeTable(0x2a, 0x1234_5000);
    expect([low(f.lo), f.hi]).toEqual(['12345027', 0x2a]);
  });

  it('refuses a leaf without rights; 1 GiB pages are optional', () => {
    expect(format().encodeLeaf(0, 0, 0x1000, PROT.CACHE)).toBe(false);
    expect([format().leafLevels, format({ gigabytePages: true }).leafLevels]).toEqual([3, 7]);
  });
});
