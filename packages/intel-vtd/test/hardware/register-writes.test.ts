import { describe, expect, test } from 'vitest';
import { REGISTERS } from '../../src/format/index.ts';
import { CAPTURES, fixture, json } from '../fixtures/capture.ts';
import { Rig } from './rig.ts';

interface Writes {
  readonly writes: readonly (readonly [offset: string, bytes: 4 | 8, value: string])[];
}

/** A real kernel's register writes, boot to dump, into a unit that advertises what QEMU did. */
describe.each(CAPTURES)('%s', (capture) => {
  const frame = fixture(capture, 'vtd-regs.bin');
  const words = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

  test('every register the kernel set ends up as the dump has it', () => {
    const rig = new Rig({
      version: words.getUint32(0, true),
      cap: words.getBigUint64(8, true),
      ecap: words.getBigUint64(0x10, true),
      hostAddressBits: 39,
    });
    const { mmio } = rig.hardware;
    for (const [offset, bytes, value] of json<Writes>(capture, 'register-writes.json').writes) {
      if (bytes === 8) mmio.write64(Number(offset), BigInt(value));
      else mmio.write32(Number(offset), Number(value));
    }
    for (const name of [
      'VER',
      'CAP',
      'ECAP',
      'GSTS',
      'RTADDR',
      'FSTS',
      'FECTL',
      'FEDATA',
      'FEADDR',
      'IQA',
      'IRTA',
    ] as const) {
      const { at, size } = REGISTERS[name];
      const want = size === 8 ? words.getBigUint64(at, true) : BigInt(words.getUint32(at, true));
      expect(rig.reg(name), name).toBe(want);
    }
  });
});
