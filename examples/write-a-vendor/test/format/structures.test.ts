import { expect, test } from 'vitest';
import { DEVICE_ENTRY, INV_DEVICE, INV_ROOT, PTE, RECORD } from '../../src/format/structures.ts';

// Words worked out from the manual (README.md) by hand, low word first; none was taken from the code's output.

test('3: a device entry', () => {
  expect([...DEVICE_ENTRY.encode({ MODE: 0 })]).toEqual([0, 0]);
  expect([...DEVICE_ENTRY.encode({ MODE: 1 })]).toEqual([1, 0]);
  // TRANSLATE is 2; the root stays in place, up to bit 51.
  expect([...DEVICE_ENTRY.encode({ MODE: 2, ROOT: 0x8000_1000n })]).toEqual([0x8000_1002, 0]);
  expect([...DEVICE_ENTRY.encode({ MODE: 2, ROOT: 0xf_ffff_ffff_f000n })]).toEqual([0xffff_f002, 0x000f_ffff]);
  expect(DEVICE_ENTRY.reserved([0xffc, 0xfff0_0000]).map(({ msb, lsb }) => [msb, lsb])).toEqual([
    [11, 2],
    [63, 52],
  ]);
});

test('4: a table entry', () => {
  expect([...PTE.encode({ P: true, ADDR: 0x4000_2000n })]).toEqual([0x4000_2001, 0]);
  expect([...PTE.encode({ P: true, W: true, ADDR: 0x1_2345_6000n })]).toEqual([0x2345_6003, 1]);
  expect(PTE.reserved([0xffc, 0xfff0_0000]).map(({ msb, lsb }) => [msb, lsb])).toEqual([
    [11, 2],
    [63, 52],
  ]);
});

test('5: commands', () => {
  // The requester id begins at bit 12: 0x18 becomes 0x1_8000.
  expect([...INV_DEVICE.encode({ OP: 1, DEVICE: 0x18 })]).toEqual([0x0001_8001, 0]);
  expect([...INV_DEVICE.encode({ OP: 1, DEVICE: 511 })]).toEqual([0x001f_f001, 0]);
  expect([...INV_ROOT.encode({ OP: 2, ROOT: 0x3_4000_3000n })]).toEqual([0x4000_3002, 3]);
});

test('6: a record', () => {
  // A write (1 at bit 4) by 0x18 to 0x7f_0001_0040 was refused with PERMISSION, 8.
  const words = [0x0000_0018, 0x0000_0018, 0x0001_0040, 0x0000_007f];
  expect(RECORD.decode(words)).toEqual({ CODE: 8, ACCESS: 1, DEVICE: 0x18, IOVA: 0x7f_0001_0040n });
  expect(RECORD.format(words)).toBe('RECORD{CODE=PERMISSION ACCESS=WRITE DEVICE=24 IOVA=0x7f00010040}');
});
