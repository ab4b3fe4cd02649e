import { describe, expect, test } from 'vitest';
import { CONFIG, CONFIG_BYTES } from '../../src/format/config-space.ts';
import { FEATURES, featureBits } from '../../src/format/features.ts';
import { MMIO, MMIO_MAGIC } from '../../src/format/registers.ts';
import { AVAIL, availBytes, availEventAt, DESCRIPTOR, USED, usedBytes, usedEventAt } from '../../src/format/ring.ts';

describe('numbers of the transport, from the manual', () => {
  test('features QEMU 10 offers: 0x10130000077, as read over its register interface', () => {
    const names = ['INPUT_RANGE', 'DOMAIN_RANGE', 'MAP_UNMAP', 'PROBE', 'MMIO', 'BYPASS_CONFIG'] as const;
    const ring = ['INDIRECT_DESC', 'EVENT_IDX', 'VERSION_1'] as const;
    const ringReset = 1n << 40n; // QEMU's queues can be reset one by one; ours cannot
    expect(featureBits([...names, ...ring]) | ringReset).toBe(0x10130000077n);
    expect(FEATURES.BYPASS).toBe(3);
  });

  test('magic is "virt"', () => {
    expect(String.fromCharCode(...new Uint8Array(Uint32Array.of(MMIO_MAGIC).buffer))).toBe('virt');
  });

  test('registers of virtio-mmio 2', () => {
    expect([MMIO.QUEUE_SEL, MMIO.QUEUE_READY, MMIO.QUEUE_NOTIFY, MMIO.STATUS]).toEqual([0x30, 0x44, 0x50, 0x70]);
    expect([MMIO.QUEUE_DESC_LOW, MMIO.QUEUE_DRIVER_LOW, MMIO.QUEUE_DEVICE_LOW]).toEqual([0x80, 0x90, 0xa0]);
    expect([MMIO.CONFIG_GENERATION, MMIO.CONFIG]).toEqual([0xfc, 0x100]);
  });

  test('configuration space: two u64, u64 range, u32 range, u32, a byte', () => {
    expect(CONFIG).toEqual({
      PAGE_SIZE_MASK: 0,
      INPUT_RANGE_START: 8,
      INPUT_RANGE_END: 16,
      DOMAIN_RANGE_START: 24,
      DOMAIN_RANGE_END: 28,
      PROBE_SIZE: 32,
      BYPASS: 36,
    });
    expect(CONFIG_BYTES).toBe(40);
  });

  test('a queue of 8: 128 bytes of descriptors, 22 of driver area, 70 of device area', () => {
    expect([8 * DESCRIPTOR.BYTES, availBytes(8), usedBytes(8)]).toEqual([128, 22, 70]);
    expect([usedEventAt(8), availEventAt(8)]).toEqual([20, 68]);
    expect([DESCRIPTOR.LEN, DESCRIPTOR.FLAGS, DESCRIPTOR.NEXT]).toEqual([8, 12, 14]);
    expect([AVAIL.IDX, AVAIL.RING, USED.IDX, USED.RING]).toEqual([2, 4, 2, 4]);
  });
});
