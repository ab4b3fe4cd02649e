import { RegisterFile } from '@iommukit/bits';
import { expect, test } from 'vitest';
import { FRAME_BYTES, REGISTERS } from '../../src/format/registers.ts';

/** Offset, value after reset, and what reads back after all ones were written, as manual 2 prints them. */
const PRINTED: readonly (readonly [string, number, bigint, bigint])[] = [
  ['ID', 0x00, 0x5453_3031n, 0x5453_3031n],
  ['CTRL', 0x04, 0n, 0x1n],
  ['DTBASE', 0x08, 0n, 0x000f_ffff_ffff_f000n],
  ['CQBASE', 0x10, 0n, 0x000f_ffff_ffff_f000n],
  ['CQTAIL', 0x18, 0n, 0x1ffn],
  ['CQHEAD', 0x1c, 0n, 0n],
  ['FLBASE', 0x20, 0n, 0x000f_ffff_ffff_f000n],
  ['FLHEAD', 0x28, 0n, 0xffn],
  ['FLTAIL', 0x2c, 0n, 0n],
  ['STATUS', 0x30, 0n, 0n],
];

test.each(PRINTED)('2: %s', (name, at, reset, ones) => {
  const file = new RegisterFile(REGISTERS, FRAME_BYTES, { guards: { stopped: () => true } });
  const wide = REGISTERS[name as keyof typeof REGISTERS].size === 8;
  const read = () => (wide ? file.read64(at) : BigInt(file.read32(at)));
  expect(read()).toBe(reset);
  if (wide) file.write64(at, ~0n);
  else file.write32(at, 0xffff_ffff);
  expect(read()).toBe(ones);
});

test('2: all of them', () => expect(Object.keys(REGISTERS)).toEqual(PRINTED.map(([name]) => name)));
