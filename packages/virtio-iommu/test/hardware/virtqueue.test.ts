import { bytesToHex, hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import type { FeatureName } from '../../src/format/features.ts';
import { AT, attach, DeviceRig, map, S } from './rig.ts';

const RING: FeatureName[] = ['MAP_UNMAP', 'PROBE', 'BYPASS_CONFIG', 'INDIRECT_DESC', 'EVENT_IDX'];
const start = () => new DeviceRig().start();
const BROKEN = 0x4f;
const IN = AT.buffers;
const OUT = AT.buffers + 0x1000n;
const TABLE = AT.buffers + 0x2000n;

function put(rig: DeviceRig, hex: string, at: bigint = IN): number {
  const bytes = hexToBytes(hex);
  rig.memory.writeBytes(at, bytes);
  return bytes.length;
}

describe('split virtqueue, device side (virtio 1.3 §2.7)', () => {
  test('any split of a request into descriptors is the same request', () => {
    const whole = map(1, 0x1000n, 0x1fffn, 0x5000n);
    for (const cut of [1, 3, 4, 7, 20, 35]) {
      const rig = start();
      rig.status(attach(1, 0x10));
      const length = put(rig, whole);
      put(rig, whole.slice(2 * cut), IN + 0x801n);
      rig.memory.writeBytes(OUT, new Uint8Array(16).fill(0xee));
      const used = rig.chain([
        { at: IN, length: cut, write: false },
        { at: IN + 0x801n, length: length - cut, write: false },
        { at: OUT + 1n, length: 1, write: true },
        { at: OUT + 7n, length: 3, write: true },
      ]);
      expect(used).toEqual([[0, 4]]);
      expect(bytesToHex(rig.bytes(OUT, 12))).toBe('ee00eeeeeeeeee000000eeee');
      expect(rig.where(0x10, 0x1004n)).toBe(0x5004n);
    }
  });

  test('empty descriptors in a chain are skipped', () => {
    const rig = start();
    const length = put(rig, attach(1, 0x10));
    const used = rig.chain([
      { at: 0x7777n, length: 0, write: false },
      { at: IN, length, write: false },
      { at: OUT, length: 0, write: true },
      { at: OUT, length: 4, write: true },
    ]);
    expect(used).toEqual([[0, 4]]);
  });

  test('a buffer that crosses a 4 GiB border', () => {
    const rig = start();
    const at = (1n << 32n) - 10n;
    const length = put(rig, attach(1, 0x10), at);
    expect(
      rig.chain([
        { at, length, write: false },
        { at: (1n << 33n) - 2n, length: 4, write: true },
      ]),
    ).toEqual([[0, 4]]);
    expect(rig.where(0x10, 0n)).toBe('fault 2');
  });

  test.each([
    ['a head index outside the table', (rig: DeviceRig) => rig.offer('request', 16)],
    [
      'a next index outside the table',
      (rig: DeviceRig) => {
        rig.describe('request', 0, IN, 20, 1, 16);
        rig.offer('request', 0);
      },
    ],
    [
      'a loop',
      (rig: DeviceRig) => {
        rig.describe('request', 0, IN, 4, 1, 1);
        rig.describe('request', 1, IN, 4, 1, 0);
        rig.offer('request', 0);
      },
    ],
    [
      'readable behind writable',
      (rig: DeviceRig) => {
        rig.describe('request', 0, OUT, 4, 1 | 2, 1);
        rig.describe('request', 1, IN, 20, 0, 0);
        rig.offer('request', 0);
      },
    ],
    [
      'an indirect table that was not negotiated',
      (rig: DeviceRig) => {
        rig.describe('request', 0, TABLE, 32, 4, 0);
        rig.offer('request', 0);
      },
    ],
    [
      'more available than the queue holds',
      (rig: DeviceRig) => rig.memory.writeBytes(AT.request.avail + 2n, Uint8Array.of(17, 0)),
    ],
    [
      'a buffer where nothing answers',
      (rig: DeviceRig) => {
        rig.describe('request', 0, 1n << 60n, 20, 1, 1);
        rig.describe('request', 1, OUT, 4, 2, 0);
        rig.offer('request', 0);
      },
    ],
    [
      'a tail where nothing answers',
      (rig: DeviceRig) => {
        put(rig, attach(1, 0x10));
        rig.describe('request', 0, IN, 20, 1, 1);
        rig.describe('request', 1, 0xffff_ffff_ffff_fffcn, 4, 2, 0);
        rig.offer('request', 0);
      },
    ],
    ['a driver area that aborts', (rig: DeviceRig) => rig.memory.poison(AT.request.avail, AT.request.avail + 0xfffn)],
    [
      'a device area that aborts',
      (rig: DeviceRig) => {
        rig.memory.poison(AT.request.used, AT.request.used + 0xfffn);
        rig.describe('request', 0, IN, 20, 0, 0);
        rig.offer('request', 0);
      },
    ],
  ])('%s needs a reset, and after one the device works', (_title, spoil) => {
    const rig = start();
    spoil(rig);
    rig.kick();
    expect([rig.read(0x70), rig.read(0x60) & 2]).toEqual([BROKEN, 2]);
    rig.memory.heal();
    expect(rig.start().status(attach(1, 0x10))).toBe(S.OK);
  });

  test('a full ring is processed to its end, across the wrap of the indices', () => {
    const rig = start();
    put(rig, attach(1, 0x10));
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 16; i++) {
        rig.describe('request', i, IN, 20, 0, 0);
        rig.offer('request', i);
      }
      rig.kick();
      expect(rig.used()).toEqual(Array.from({ length: 16 }, (_, i) => [i, 0]));
    }
  });

  test('indices run on past 65535', () => {
    const rig = start();
    put(rig, attach(1, 0x10));
    rig.describe('request', 0, IN, 20, 0, 0);
    let done = 0;
    for (let i = 0; i < 70_000; i++) {
      rig.offer('request', 0);
      rig.kick();
      done += rig.used().length;
    }
    expect([done, rig.read(0x70)]).toEqual([70_000, 0xf]);
  });

  test('no interrupt while the driver does not want one', () => {
    const rig = start();
    rig.send(attach(1, 0x10));
    expect([rig.interrupts, rig.read(0x60)]).toEqual([1, 1]);
    rig.write(0x64, 1);
    expect(rig.read(0x60)).toBe(0);
    rig.memory.writeBytes(AT.request.avail, Uint8Array.of(1));
    rig.send(attach(1, 0x10));
    expect([rig.interrupts, rig.read(0x60)]).toEqual([1, 0]);
  });
});

describe('indirect descriptors and event indices', () => {
  const rings = () => new DeviceRig({ features: RING }).start();

  test('an indirect table of two, at an odd address', () => {
    const rig = rings();
    const length = put(rig, attach(1, 0x10));
    const table = TABLE + 3n;
    rig.writeDescriptor(table, IN, length, 1, 1);
    rig.writeDescriptor(table + 16n, OUT, 4, 2, 0);
    rig.describe('request', 5, table, 32, 4, 0);
    rig.offer('request', 5);
    rig.kick();
    expect(rig.used()).toEqual([[5, 4]]);
    expect(rig.where(0x10, 0n)).toBe('fault 2');
  });

  test.each([
    ['a length that is no multiple of 16', 33, 4, [1, 2]],
    ['an empty table', 0, 4, [1, 2]],
    ['NEXT beside INDIRECT', 32, 5, [1, 2]],
    ['a table in a table', 32, 4, [4, 2]],
    ['a table that loops', 32, 4, [1, 1]],
  ])('%s needs a reset', (_title, length, flags, [first, second]) => {
    const rig = rings();
    rig.writeDescriptor(TABLE, IN, 16, first!, 1);
    rig.writeDescriptor(TABLE + 16n, IN, 16, second!, 0);
    rig.describe('request', 0, TABLE, length as number, flags as number, 1);
    rig.offer('request', 0);
    rig.kick();
    expect(rig.read(0x70)).toBe(BROKEN);
  });

  test('the device says which kick it wants, and interrupts at the element the driver named', () => {
    const rig = rings();
    rig.memory.writeBytes(AT.request.used + 4n + 128n + 2n, Uint8Array.of(0xaa, 0xbb)); // behind avail_event: not the queue's
    rig.memory.writeBytes(AT.request.avail + 4n + 32n, Uint8Array.of(1, 0)); // used_event = 1: the second element
    rig.send(attach(1, 0x10));
    expect(rig.interrupts).toBe(0);
    rig.send(attach(1, 0x10));
    expect(rig.interrupts).toBe(1);
    rig.send(attach(1, 0x10));
    expect(rig.interrupts).toBe(1);
    expect(bytesToHex(rig.bytes(AT.request.used + 4n + 128n, 4))).toBe('0300aabb');
  });
});
