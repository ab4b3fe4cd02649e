import { loOf } from '@iommukit/bits';
import { Machine } from '@iommukit/machine';
import { describe, expect, test } from 'vitest';
import { virtioIommu } from '../src/plugin.ts';

/** A unit on a board, and a guest that sets up a queue of four by hand. */
function board() {
  const machine = new Machine();
  const unit = machine.addUnit(virtioIommu);
  const { mmio } = unit.ports;
  const RING = 0x10_0000n;
  const u16 = (at: bigint, value: number) => machine.memory.writeBytes(at, Uint8Array.of(value & 255, value >> 8));
  const bringUp = (used: bigint) => {
    for (const value of [0, 1, 3]) mmio.write32(0x70, value);
    mmio.write32(0x24, 0);
    mmio.write32(0x20, 0x77);
    mmio.write32(0x24, 1);
    mmio.write32(0x20, 1);
    mmio.write32(0x70, 0xb);
    mmio.write32(0x30, 0);
    mmio.write32(0x38, 4);
    mmio.write32(0x80, loOf(RING));
    mmio.write32(0x90, loOf(RING + 0x1000n));
    mmio.write32(0xa0, loOf(used));
    mmio.write32(0x44, 1);
    mmio.write32(0x70, 0xf);
  };
  const request = (bytes: number[], tail: bigint) => {
    machine.memory.writeBytes(RING + 0x3000n, Uint8Array.from(bytes));
    const view = new DataView(new ArrayBuffer(32));
    view.setBigUint64(0, RING + 0x3000n, true);
    view.setUint32(8, bytes.length, true);
    view.setUint32(12, 0x10001, true);
    view.setBigUint64(16, tail, true);
    view.setUint32(24, 4, true);
    view.setUint32(28, 2, true);
    machine.memory.writeBytes(RING, new Uint8Array(view.buffer));
    u16(RING + 0x1004n, 0);
    u16(RING + 0x1002n, 1);
    mmio.write32(0x50, 0);
  };
  return { machine, unit, mmio, bringUp, request, RING };
}

const ATTACH = [1, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

describe('a guest that aims the device at its own registers', () => {
  test('a tail on the status register resets the device, and nothing else happens', () => {
    const { machine, unit, mmio, bringUp, request, RING } = board();
    bringUp(RING + 0x2000n);
    request(ATTACH, unit.description.mmioBase + 0x70n);
    expect(mmio.read32(0x70)).toBe(0);
    const low = new Uint8Array(64);
    machine.memory.readBytes(0n, low);
    expect(low.every((byte) => byte === 0)).toBe(true);
    bringUp(RING + 0x2000n);
    expect(mmio.read32(0x70)).toBe(0xf);
  });

  test.each([0, 0x44, 0x50, 0x60, 0x70, 0x80, 0x100, 0x124, 0x1f8])('a used ring at register 0x%s ends', (offset) => {
    const { unit, mmio, bringUp, request } = board();
    bringUp(unit.description.mmioBase + BigInt(offset));
    request(ATTACH, 0x20_0000n);
    expect(mmio.read32(0x70)).toBeLessThan(0x100);
  });
});
