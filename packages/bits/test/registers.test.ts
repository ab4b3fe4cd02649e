import { expect, test } from 'vitest';
import { RegisterFile } from '../src/index.ts';

const TABLE = {
  ID: { at: 0x00, size: 4, reset: 0x10n },
  CMD: { at: 0x04, size: 4, writable: 0xff00_0000n, writeOnly: true },
  STS: { at: 0x08, size: 4, reset: 0n, clearOnOne: 0x11n },
  BASE: { at: 0x10, size: 8, writable: 0xffff_ffff_ffff_f807n, guard: 'idle' },
} as const;

test('masks, clear-on-one, halves, guards and effects', () => {
  let idle = true;
  const seen: [string, number, number][] = [];
  const file = new RegisterFile(TABLE, 0x20, {
    guards: { idle: () => idle },
    effects: { CMD: (lo, hi) => seen.push(['CMD', lo, hi]), BASE: (lo, hi) => seen.push(['BASE', lo, hi]) },
  });
  expect(file.read32(0)).toBe(0x10);
  file.write32(0, 0xffff_ffff);
  expect(file.read32(0)).toBe(0x10);

  file.write32(4, 0x1234_5678);
  expect(file.get('CMD')).toBe(0x1200_0000n);
  expect(file.read32(4)).toBe(0);

  file.set('STS', 0x33n);
  file.write32(8, 0x12);
  expect(file.get('STS')).toBe(0x23n);

  file.write64(0x10, 0xffff_ffff_ffff_ffffn);
  expect(file.read64(0x10)).toBe(0xffff_ffff_ffff_f807n);
  file.write32(0x14, 1);
  expect(file.get('BASE')).toBe(0x0000_0001_ffff_f807n);
  idle = false;
  file.write64(0x10, 0n);
  expect(file.get('BASE')).toBe(0x0000_0001_ffff_f807n);
  expect(seen).toEqual([
    ['CMD', 0, 0],
    ['BASE', 0, 0],
    ['BASE', 0xfffff807 | 0, -1],
  ]);
});

test('misaligned, undeclared and outside accesses read 0 and write nothing', () => {
  const file = new RegisterFile(TABLE, 0x20, { guards: { idle: () => true } });
  for (const offset of [1, 2, 0x0c, 0x1c, 0x20, -4, 0x4000]) {
    file.write32(offset, 0xffff_ffff);
    expect(file.read32(offset)).toBe(0);
  }
  expect(file.read64(4)).toBe(0n);
});
