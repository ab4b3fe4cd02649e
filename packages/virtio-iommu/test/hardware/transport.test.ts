import { describe, expect, test } from 'vitest';
import { attach, DeviceRig, map, S } from './rig.ts';

const NEEDS_RESET = 0x40;

describe('virtio-mmio registers (virtio 1.3 §4.2.2)', () => {
  test('identify an IOMMU device of version 2', () => {
    const rig = new DeviceRig();
    expect([0, 4, 8].map((offset) => rig.read(offset))).toEqual([0x74726976, 2, 23]);
    expect(rig.offered()).toBe((1n << 32n) | 0x77n);
  });

  test('registers take 32-bit accesses only', () => {
    const { mmio } = new DeviceRig().device;
    expect([mmio.read8(0), mmio.read16(0), mmio.read64(0), mmio.read32(2)]).toEqual([0, 0, 0n, 0]);
    mmio.write8(0x70, 1);
    mmio.write16(0x70, 1);
    mmio.write64(0x70, 1n);
    expect(mmio.read32(0x70)).toBe(0);
  });

  test('a third feature word is empty, and taking a bit of it spoils FEATURES_OK', () => {
    const rig = new DeviceRig();
    rig.write(0x14, 2);
    expect(rig.read(0x10)).toBe(0);
    rig.write(0x24, 7);
    rig.write(0x20, 1);
    rig.negotiate();
    expect(rig.read(0x70)).toBe(0xb); // the reset of negotiate() forgot it
    rig.write(0x70, 0);
    rig.write(0x24, 7);
    rig.write(0x20, 1);
    rig.write(0x70, 0xb);
    expect(rig.read(0x70)).toBe(3);
  });

  test('FEATURES_OK stays clear for a bit not offered and for a legacy driver', () => {
    const rig = new DeviceRig();
    rig.negotiate(rig.offered() | 8n);
    expect(rig.read(0x70)).toBe(3);
    rig.negotiate(rig.offered() & 0xffff_ffffn);
    expect(rig.read(0x70)).toBe(3);
    rig.negotiate();
    expect(rig.read(0x70)).toBe(0xb);
  });

  test('DRIVER_OK counts only after FEATURES_OK; bits stay until reset', () => {
    const rig = new DeviceRig();
    rig.write(0x70, 7);
    expect(rig.read(0x70)).toBe(3);
    rig.negotiate();
    rig.write(0x70, 4);
    expect(rig.read(0x70)).toBe(0xf);
    rig.write(0x70, 0x80);
    expect(rig.read(0x70)).toBe(0x8f);
    rig.write(0x70, 0);
    expect(rig.read(0x70)).toBe(0);
  });

  test('there are two queues', () => {
    const rig = new DeviceRig();
    const sizes = [0, 1, 2, 0xffff_ffff].map((queue) => {
      rig.write(0x30, queue);
      return rig.read(0x34);
    });
    expect(sizes).toEqual([16, 16, 0, 0]);
  });

  test('a queue in use does not move; a disabled one starts over', () => {
    const rig = new DeviceRig().start();
    rig.write(0x30, 0);
    rig.write(0x80, 0x7000);
    expect(rig.status(attach(1, 0x10))).toBe(S.OK);
    rig.write(0x44, 0);
    expect(rig.read(0x44)).toBe(0);
    expect(rig.send(attach(1, 0x11)).used).toBe(-1);
  });

  test.each([
    ['a size of 3', (rig: DeviceRig) => rig.write(0x38, 3)],
    ['a size of 0', (rig: DeviceRig) => rig.write(0x38, 0)],
    ['a size above the maximum', (rig: DeviceRig) => rig.write(0x38, 32)],
    ['misaligned descriptors', (rig: DeviceRig) => rig.write(0x80, 8)],
    ['a misaligned driver area', (rig: DeviceRig) => rig.write(0x90, 1)],
    ['a misaligned device area', (rig: DeviceRig) => rig.write(0xa0, 2)],
  ])('%s cannot be put into service', (_title, spoil) => {
    const rig = new DeviceRig();
    rig.negotiate();
    rig.write(0x30, 0);
    spoil(rig);
    rig.write(0x44, 1);
    expect([rig.read(0x44), rig.read(0x70) & NEEDS_RESET]).toEqual([0, NEEDS_RESET]);
  });

  test('nothing is processed before DRIVER_OK', () => {
    const rig = new DeviceRig();
    rig.negotiate();
    rig.setQueue(0);
    expect(rig.send(attach(1, 0x10)).used).toBe(-1);
  });
});

describe('configuration space (§5.13.4)', () => {
  test('fields by 8, 16 and 32 bits', () => {
    const rig = new DeviceRig({ inputRange: { start: 0x1000n, last: 0x7f_ffff_ffffn }, bypass: 1, probeSize: 0x1234 });
    const { mmio } = rig.device;
    expect([mmio.read32(0x100), mmio.read32(0x104)]).toEqual([0xffff_f000, 0xffff_ffff]);
    expect([mmio.read32(0x108), mmio.read32(0x110), mmio.read32(0x114)]).toEqual([0x1000, 0xffff_ffff, 0x7f]);
    expect([mmio.read32(0x118), mmio.read32(0x11c)]).toEqual([0, 0xffff_ffff]);
    expect([mmio.read16(0x120), mmio.read8(0x121), mmio.read8(0x124)]).toEqual([0x1234, 0x12, 1]);
    expect([mmio.read64(0x100), mmio.read32(0x102), mmio.read32(0x128), mmio.read8(0x1ff)]).toEqual([0n, 0, 0, 0]);
  });

  test('fields whose feature is not offered read 0', () => {
    const rig = new DeviceRig({ features: ['MAP_UNMAP'], bypass: 1 });
    expect([0x110, 0x114, 0x11c, 0x120, 0x124].map((offset) => rig.read(offset))).toEqual([0, 0, 0, 0, 0]);
  });

  test('only bypass is writable', () => {
    const rig = new DeviceRig().start();
    rig.write(0x100, 0);
    rig.device.mmio.write16(0x120, 7);
    rig.device.mmio.write8(0x125, 1);
    expect([rig.read(0x100), rig.read(0x120), rig.read(0x124), rig.read(0x70)]).toEqual([0xffff_f000, 512, 0, 0xf]);
    rig.device.mmio.write8(0x124, 1);
    expect(rig.where(0x10, 0x123n)).toBe(0x123n);
    rig.write(0x124, 0);
    expect(rig.where(0x10, 0x123n)).toBe('fault 1');
  });

  test('bypass 2 breaks the device, whatever wrote it', () => {
    const rig = new DeviceRig().start();
    rig.device.mmio.write8(0x124, 2);
    expect([rig.read(0x70), rig.read(0x124), rig.read(0x60)]).toEqual([0x4f, 0, 2]);
    expect(rig.interrupts).toBe(1);
    expect(rig.send(attach(1, 0x10)).used).toBe(-1);
    expect(rig.start().status(attach(1, 0x10))).toBe(S.OK);
  });

  test('changing bypass without BYPASS_CONFIG breaks it too; writing the same value does not', () => {
    const rig = new DeviceRig({ bypass: 1 });
    rig.start(rig.offered() & ~0x40n);
    rig.device.mmio.write8(0x124, 1);
    expect(rig.read(0x70)).toBe(0xf);
    rig.device.mmio.write8(0x124, 0);
    expect([rig.read(0x70), rig.read(0x124)]).toEqual([0x4f, 1]);
  });
});

describe('reset', () => {
  test('a device reset detaches and unmaps everything, and keeps bypass', () => {
    const rig = new DeviceRig({ bypass: 1 }).start();
    rig.device.mmio.write8(0x124, 0);
    rig.status(attach(1, 0x10));
    rig.status(map(1, 0n, 0xfffn, 0x5000n));
    expect(rig.where(0x10, 0n)).toBe(0x5000n);
    rig.start();
    expect(rig.where(0x10, 0n)).toBe('fault 1');
    expect(rig.read(0x124)).toBe(0);
    expect(rig.status(map(1, 0n, 0xfffn, 0n))).toBe(S.NOENT);
    rig.device.reset();
    expect([rig.read(0x124), rig.read(0x70), rig.where(0x10, 0n)]).toEqual([1, 0, 0n]);
  });

  test('a reset while bypass is 1 opens every endpoint: the window the manual warns of', () => {
    const rig = new DeviceRig({ bypass: 1 }).start();
    rig.status(attach(1, 0x10));
    expect(rig.where(0x10, 0x9000n)).toBe('fault 2');
    rig.write(0x70, 0);
    expect(rig.where(0x10, 0x9000n)).toBe(0x9000n);
  });

  test('a frame from a dump wakes status and bypass, and no queue', () => {
    const rig = new DeviceRig({ bypass: 1 });
    const frame = new Uint8Array(0x200);
    frame[0x70] = 0xf;
    rig.device.wake(frame);
    expect([rig.read(0x70), rig.where(0x10, 5n)]).toEqual([0xf, 'fault 1']);
    frame[0x124] = 1;
    rig.device.wake(frame);
    expect(rig.where(0x10, 5n)).toBe(5n);
    rig.device.wake(frame.subarray(0, 0x100));
    expect(rig.where(0x10, 5n)).toBe('fault 1');
  });
});
