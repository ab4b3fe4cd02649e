/** `iommufd_mock_domain` and `change_process`: mappings as the domain's own table has them. */
import { uapi } from '@iommukit/iommufd';
import { beforeEach, describe, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { BUFFER_SIZE, Client, MAP_FLAG, P, START } from './support/client.ts';

const HALF = abi.MOCK_PAGE_SIZE;
let c: Client;
let ioas: number;
let hwpts: number[];
let devices: { stdev: number; hwpt: number; idev: number }[];

function open(domains: number): void {
  c = new Client();
  ioas = c.ioas();
  devices = Array.from({ length: domains }, () => c.device(ioas));
  hwpts = [...new Set(devices.map(({ hwpt }) => hwpt))];
}

const checkAll = (uptr: bigint, iova: bigint, length: bigint): void => {
  for (const hwpt of hwpts) expect(c.checkMap(hwpt, iova, length, uptr)).toBe('OK');
};

describe.each([
  ['memory', 1],
  ['memory', 2],
  ['a file', 1],
] as const)('%s, %d domains', (kind, domains) => {
  const size = 8n * P;
  let fd: number;
  let buffer: bigint;
  let map: (start: bigint, length: bigint) => bigint;

  beforeEach(() => {
    open(domains);
    const file = c.process.mappedFile(size);
    fd = file.fd;
    buffer = kind === 'memory' ? c.process.alloc(Number(size)) : file.address;
    map = (start, length) =>
      kind === 'memory' ? c.map(ioas, buffer + start, length) : c.mapFile(ioas, fd, start, length).iova;
    return () => {
      c.close();
      expect(c.world.pins.pages).toBe(0);
    };
  });

  test('every start and length in half pages', () => {
    expect(c.checkRefs(buffer, size, 0)).toBe('OK');
    for (let start = 0n; start < size; start += HALF) {
      for (let end = start + HALF; end < size; end += HALF) {
        const iova = map(start, end - start);
        checkAll(buffer + start, iova, end - start);
        const [first, last] = [(start / P) * P, (end / P) * P];
        expect(c.checkRefs(buffer + first, last - first, 1)).toBe('OK');
        expect(c.unmap(ioas, iova, end - start)).toBe('OK');
      }
    }
    expect(c.checkRefs(buffer, size, 0)).toBe('OK');
  });

  test('the same with a domain that comes and goes', () => {
    for (let start = 0n; start < size; start += HALF) {
      for (let end = start + HALF; end < size; end += 3n * HALF) {
        const iova = map(start, end - start);
        const extra = c.device(ioas);
        checkAll(buffer + start, iova, end - start);
        expect(c.checkMap(extra.hwpt, iova, end - start, buffer + start)).toBe('OK');
        expect(c.destroy(extra.stdev)).toBe('OK');
        expect(c.unmap(ioas, iova, end - start)).toBe('OK');
      }
    }
    expect(c.checkRefs(buffer, size, 0)).toBe('OK');
  });

  test('memory that is not there', () => {
    if (kind === 'memory') {
      expect(c.mapErrno(ioas, buffer + size / 2n, size)).toBe('EFAULT');
      expect(c.mapErrno(ioas, 1n << 60n, P)).toBe('EFAULT');
    } else {
      const other = c.process.mappedFile(size);
      expect(c.mapFile(ioas, other.fd, 0n, size + 1n).errno).toBe('EINVAL');
      other.file.truncate(0n);
      expect(c.mapFile(ioas, other.fd, 0n, size).errno).toBe('EINVAL');
      expect(c.mapFile(ioas, 99, 0n, size).errno).toBe('EBADF');
    }
    expect(c.world.pins.pages).toBe(0);
  });

  test('read-only mappings lead to the same pages', () => {
    const iova = c.map(ioas, c.buffer, P, MAP_FLAG.READ);
    checkAll(c.buffer, iova, P);
  });

  test('replacing', () => {
    const other = c.ioas();
    const { stdev } = devices[0]!;
    expect(c.replace(stdev, other)).toBe('OK');
    if (domains === 1) expect(c.replace(stdev, hwpts[0]!)).toBe('ENOENT');
    expect(c.replace(stdev, other)).toBe('OK');
    if (domains === 2) for (const id of [hwpts[0]!, hwpts[0]!]) expect(c.replace(stdev, id)).toBe('OK');
    expect(c.replace(stdev, ioas)).toBe('OK');
    expect(c.destroy(other)).toBe('OK');
    expect(c.replace(999, ioas)).toBe('ENOENT');
    expect(c.replace(devices[0]!.idev, ioas)).toBe('ENOENT');
  });

  test('hand-made HWPTs in turn', () => {
    for (const { idev, stdev } of devices) {
      expect(c.hwpt(idev, ioas, { flags: 0xffff_fffe }).errno).toBe('EOPNOTSUPP');
      const [a, b] = [c.hwpt(idev, ioas).id, c.hwpt(idev, ioas, { flags: 1 }).id];
      for (const id of [a, b]) {
        expect(c.replace(stdev, id)).toBe('OK');
        expect(c.destroy(id)).toBe('EBUSY');
      }
      expect(c.replace(stdev, ioas)).toBe('OK');
      expect(c.destroy(b)).toBe('OK');
      const extra = c.device(a);
      expect(extra.hwpt).toBe(a);
      expect(c.destroy(extra.stdev)).toBe('OK');
      expect(c.destroy(a)).toBe('OK');
    }
  });
});

test('ids: the device comes first, then its binding, then an automatic HWPT', () => {
  open(0);
  expect(c.device(ioas)).toEqual({ stdev: 2, idev: 3, hwpt: 4 });
  expect(c.device(ioas)).toEqual({ stdev: 5, idev: 6, hwpt: 4 });
});

test('a check compares, and refuses what it cannot compare', () => {
  open(1);
  const { hwpt, idev } = devices[0]!;
  const iova = c.map(ioas, c.buffer, 2n * P);
  expect(c.checkMap(hwpt, iova, 2n * P, c.buffer)).toBe('OK');
  expect(c.checkMap(hwpt, iova + HALF, HALF, c.buffer + HALF)).toBe('OK');
  expect(c.checkMap(hwpt, iova, 0n, c.buffer + HALF)).toBe('OK');
  expect(c.checkMap(hwpt, iova, P, c.buffer + P)).toBe('EINVAL');
  expect(c.checkMap(hwpt, iova, P, c.buffer + HALF)).toBe('EINVAL');
  expect(c.checkMap(hwpt, iova, 3n * P, c.buffer)).toBe('EINVAL');
  expect(c.checkMap(hwpt, iova + 1n, P, c.buffer)).toBe('EINVAL');
  expect(c.checkMap(hwpt, iova, P, 1n << 60n)).toBe('EFAULT');
  expect(c.checkMap(hwpt, iova, P, (1n << 64n) - 2048n)).toBe('EINVAL');
  expect(c.checkMap(ioas, iova, P, c.buffer)).toBe('ENOENT');
  expect(c.checkRefs(c.buffer, P, 2)).toBe('EIO');
  expect(c.checkRefs(c.buffer + HALF, P, 1)).toBe('EINVAL');
  expect(c.checkRefs(1n << 60n, P, 0)).toBe('EFAULT');
  const huge = c.hwpt(idev, ioas, hugeTable());
  expect(huge.errno).toBe('OK');
  expect(c.checkMap(huge.id, iova, P, c.buffer)).toBe('OK');
  expect(c.checkMap(huge.id, iova + HALF, HALF, c.buffer + HALF)).toBe('EINVAL');
});

const hugeTable = (pagetable_type = 1) => ({
  data_type: abi.MOCK_TYPE.HWPT_DATA,
  data_len: 8,
  data_uptr: c.place(abi.HWPT_SELFTEST.encode({ pagetable_type })),
});

test('page-table types', () => {
  open(1);
  const { idev } = devices[0]!;
  expect(c.hwpt(idev, ioas, hugeTable(2)).errno).toBe('EOPNOTSUPP');
  expect(c.hwpt(idev, ioas, { ...hugeTable(), data_type: 1 }).errno).toBe('EOPNOTSUPP');
  expect(c.hwpt(idev, ioas, { ...hugeTable(), data_len: 3 }).errno).toBe('EINVAL');
  expect(c.hwpt(idev, ioas, { ...hugeTable(), data_uptr: 1n }).errno).toBe('EFAULT');
  expect(c.hwpt(idev, ioas, { ...hugeTable(), data_len: 4 }).errno).toBe('OK');
});

test.each([0, 1])('files change their owner, accounting mode %d', (mode) => {
  open(0);
  expect(c.destroy(ioas)).toBe('OK');
  expect(c.errno(uapi.OPTION, { op: 0, val64: BigInt(mode) })).toBe('OK');
  ioas = c.ioas();
  c.device(ioas);
  const key = mode === 1 ? 'process' : 'user';
  const change = (process = c.process, at = c.place(uapi.IOAS_CHANGE_PROCESS.encode({}))) => {
    process.write(at, uapi.IOAS_CHANGE_PROCESS.encode({}));
    return c.ioctl(0x3b92, at, process);
  };
  const iova = c.map(ioas, c.buffer, P);
  expect(change()).toBe('EINVAL');
  expect(c.unmap(ioas, iova, P)).toBe('OK');
  const { fd } = c.process.mappedFile(BUFFER_SIZE);
  expect(c.mapFile(ioas, fd, 0n, P, START).errno).toBe('OK');
  expect(change()).toBe('OK');
  const child = c.world.process();
  expect([c.process.accounts[key].pages, child.accounts[key].pages]).toEqual([1n, 0n]);
  expect(change(child, child.alloc(4096))).toBe('OK');
  expect([c.process.accounts[key].pages, child.accounts[key].pages]).toEqual([0n, 1n]);
});
