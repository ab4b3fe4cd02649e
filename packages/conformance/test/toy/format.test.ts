import { describe, expect, test } from 'vitest';
import { CONTEXT_COMMAND, GUEST_COMMAND, NESTED_DATA, OP, TRANSLATION_COMMAND } from '../../src/toy/format/commands.ts';
import { CONTEXT, DEVICE_ENTRY, MODE, SLOT } from '../../src/toy/format/context.ts';
import { CODE, EVENT } from '../../src/toy/format/events.ts';
import { PTE } from '../../src/toy/format/pte.ts';
import { CAPS } from '../../src/toy/format/registers.ts';

/** Every word below was worked out by hand from the bit numbers in the toy's manual (src/toy/README.md). */
describe('the toy’s words', () => {
  test('device entry and slot', () => {
    expect([...DEVICE_ENTRY.encode({ V: true, SLOTS: 0x1_2345_6000n })]).toEqual([0x2345_6001, 0x1]);
    expect([...SLOT.encode({ V: true, CONTEXT: 0x8000_0040n })]).toEqual([0x8000_0041, 0]);
  });

  test('context', () => {
    const words = CONTEXT.encode({
      V: true,
      MODE: MODE.NESTED,
      DIRTY: true,
      TAG: 0x12,
      GTAG: 0x34,
      ROOT: 0x9_0000_1000n,
      GROOT: 0x4000_2000n,
    });
    // 1 | 2 << 1 | 1 << 4 | 0x12 << 16; 0x34 in bits 47:32
    expect([...words]).toEqual([0x0012_0015, 0x34, 0x0000_1000, 0x9, 0x4000_2000, 0, 0, 0]);
  });

  test('table entry', () => {
    // 1 | 2 | 4 | 8 | 16
    expect([...PTE.encode({ P: true, LEAF: true, R: true, W: true, X: true, ADDR: 0x8000_3000n })]).toEqual([
      0x8000_301f, 0,
    ]);
  });

  test('commands', () => {
    expect([...CONTEXT_COMMAND.encode({ OP: OP.INV_SLOT, DEVICE: 0x110, PASID: 7 })]).toEqual([2, 0x110, 7, 0]);
    const range = TRANSLATION_COMMAND.encode({ OP: OP.INV_RANGE, TAG: 3, COUNT: 511, ADDR: 0x1_4000_0000n });
    expect([...range]).toEqual([0x0003_0004, 511 << 16, 0x4000_0000, 1]);
    const guest = GUEST_COMMAND.encode({ OP: OP.INV_GUEST_RANGE, VDEVICE: 5, COUNT: 0, ADDR: 0x4000_0000n });
    expect([...guest]).toEqual([0x0005_0006, 0, 0x4000_0000, 0]);
    expect([...NESTED_DATA.encode({ GROOT: 0x4000_1000n })]).toEqual([0x4000_1000, 0, 0, 0]);
  });

  test('event', () => {
    const words = EVENT.encode({
      CODE: CODE.PERMISSION,
      ACCESS: 1,
      PASIDV: true,
      PASID: 9,
      DEVICE: 0x30,
      IOVA: 0x7f_4000_0008n,
    });
    // 8 | 1 << 8 | 1 << 10
    expect([...words]).toEqual([0x508, 9, 0x30, 0, 0x4000_0008, 0x7f, 0, 0]);
  });

  test('capabilities', () => {
    expect([...CAPS.encode({ NEST: true, PASID: true, REPORT: true, OUTPUT_BITS: 44 })]).toEqual([0x002c_0105]);
  });
});
