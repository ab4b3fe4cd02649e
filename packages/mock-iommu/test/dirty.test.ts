/** `iommufd_dirty_tracking`: every other page written, read back, clear; small pages and 1 MiB leaves. */
import { uapi } from '@iommukit/iommufd';
import { beforeEach, describe, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { Client, START } from './support/client.ts';

const PAGE = abi.MOCK_PAGE_SIZE;
const KIB = 1024n;
let c: Client;
let ioas: number;
let idev: number;

function open(huge: boolean): void {
  c = new Client();
  ioas = c.ioas();
  if (!huge) expect(c.errno(uapi.OPTION, { option_id: 1, op: 0, object_id: ioas, val64: 0n })).toBe('OK');
  ({ idev } = c.device(ioas));
}

function dirtyHwpt(pagetable_type: number): number {
  const data_uptr = c.place(abi.HWPT_SELFTEST.encode({ pagetable_type }));
  const { errno, id } = c.hwpt(idev, ioas, { flags: 2, data_type: abi.MOCK_TYPE.HWPT_DATA, data_len: 8, data_uptr });
  expect(errno).toBe('OK');
  return id;
}

const track = (hwpt_id: number, flags: number) => c.errno(uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags });

const mark = (id: number, length: bigint, uptr: bigint, over = {}) =>
  c.call(abi.DIRTY, { op: abi.TEST_OP.DIRTY, id, iova: START, length, page_size: PAGE, uptr, ...over });

function read(hwpt_id: number, length: bigint, data: bigint, bytes: number, flags: number): Uint8Array {
  c.process.write(data, new Uint8Array(bytes));
  const ask = { hwpt_id, flags, iova: START, length, page_size: PAGE, data };
  expect(c.errno(uapi.HWPT_GET_DIRTY_BITMAP, ask)).toBe('OK');
  const bitmap = new Uint8Array(bytes);
  c.process.read(data, bitmap);
  return bitmap;
}

describe.each([
  ['8k', 8n * KIB, 1],
  ['16k', 16n * KIB, 1],
  ['64k', 64n * KIB, 1],
  ['128k', 128n * KIB, 1],
  ['320k', 320n * KIB, 1],
  ['64M', 64n * KIB * KIB, 1],
  ['64M in large leaves', 64n * KIB * KIB, 512],
  ['128M', 128n * KIB * KIB, 1],
  ['128M in large leaves', 128n * KIB * KIB, 512],
] as const)('%s', (_name, length, perLeaf) => {
  const bits = Number(length / PAGE);
  const bytes = Math.ceil(bits / 8);
  let buffer: bigint;
  let bitmap: bigint;

  beforeEach(() => {
    open(perLeaf > 1);
    buffer = c.process.alloc(Number(length));
    bitmap = c.process.alloc(bytes + 8192);
  });

  test.each([0, 1])('bitmaps at any address, NO_CLEAR %d', (flags) => {
    expect(c.mapErrno(ioas, buffer, length, START)).toBe('OK');
    const hwpt = dirtyHwpt(perLeaf > 1 ? 1 : 0);
    expect(track(hwpt, 1)).toBe('OK');
    const set = 2 * perLeaf;
    const marks = new Uint8Array(bytes);
    for (let i = 0; i < bits; i += set) marks[i >> 3]! |= 1 << (i & 7);
    for (const at of [bitmap, bitmap + 2048n, bitmap + 0xff1n]) {
      c.process.write(at, marks);
      const { result, out } = mark(hwpt, length, at);
      expect([result, out.out_nr_dirty]).toEqual([0, BigInt(bits / set)]);
      for (const round of [0, 1]) {
        const seen = read(hwpt, length, at, bytes, flags);
        const expected = (i: number) => i % set < perLeaf && (round === 0 || flags === 1);
        const wrong = Array.from({ length: bits }, (_, i) => i).filter(
          (i) => (((seen[i >> 3]! >> (i & 7)) & 1) === 1) !== expected(i),
        );
        expect(wrong).toEqual([]);
      }
    }
    expect(c.destroy(hwpt)).toBe('OK');
  });
});

test('devices that cannot log writes', () => {
  open(false);
  const hwpt = dirtyHwpt(0);
  const { stdev } = c.device(hwpt);
  expect(c.deviceErrno(hwpt, abi.DEVICE_NO_DIRTY)).toBe('EINVAL');
  expect(c.destroy(stdev)).toBe('OK');
  expect(c.destroy(hwpt)).toBe('OK');
  const other = c.ioas();
  const device = c.device(other, abi.DEVICE_NO_DIRTY);
  expect(c.hwpt(device.idev, other, { flags: 2 }).errno).toBe('EOPNOTSUPP');
  const both = c.hwpt(idev, other, { flags: 2 | 8 }).id;
  const pasid = { op: abi.TEST_OP.PASID_ATTACH, pasid: 100, pt_id: both };
  const able = c.device(both, abi.DEVICE_PASID);
  expect(c.errno(abi.PASID_ATTACH, { ...pasid, id: able.stdev })).toBe('OK');
  const unable = c.device(other, abi.DEVICE_PASID | abi.DEVICE_NO_DIRTY);
  expect(c.errno(abi.PASID_ATTACH, { ...pasid, id: unable.stdev })).toBe('EINVAL');
});

test('tracking is told in the capabilities, and turned on and off', () => {
  open(false);
  expect(c.ok(uapi.GET_HW_INFO, { dev_id: idev }).out_capabilities).toBe(9n);
  const without = c.device(ioas, abi.DEVICE_NO_DIRTY).idev;
  expect(c.ok(uapi.GET_HW_INFO, { dev_id: without }).out_capabilities).toBe(8n);
  const hwpt = dirtyHwpt(0);
  for (const flags of [1, 1, 0, 0]) expect(track(hwpt, flags)).toBe('OK');
});

test('refusals', () => {
  open(false);
  const length = 4096n;
  expect(c.mapErrno(ioas, c.buffer, length, START)).toBe('OK');
  const hwpt = dirtyHwpt(0);
  const at = c.scratch + 0x2000n;
  expect(mark(hwpt, length, at).result).toBe(-22);
  expect(track(hwpt, 1)).toBe('OK');
  expect(mark(hwpt, length, at).result).toBe(0);
  expect(mark(hwpt, length, at, { page_size: 0n }).result).toBe(-22);
  expect(mark(hwpt, 0n, at).result).toBe(-22);
  expect(mark(hwpt, length, 0n).result).toBe(-22);
  expect(mark(hwpt, length, at, { iova: START + 1n }).result).toBe(-22);
  expect(mark(hwpt, length + 1n, at).result).toBe(-22);
  expect(mark(hwpt, length, 1n << 60n).result).toBe(-14);
  expect(mark(hwpt, 1n << 63n, at, { page_size: 1n }).result).toBe(-12);
  expect(mark(ioas, length, at).result).toBe(-2);
  expect(mark(hwpt, length, at, { iova: (1n << 64n) - 4096n }).result).toBe(0);
});
