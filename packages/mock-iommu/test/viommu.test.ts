/** `iommufd_viommu`: ids, events, caches, queues, the exported page. */
import { uapi } from '@iommukit/iommufd';
import { beforeEach, describe, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { Client, P, START, TOP } from './support/client.ts';

const { VIOMMU, VEVENTQ, HW_QUEUE } = abi.MOCK_TYPE;
let c: Client;
let ioas: number;
let device: { stdev: number; hwpt: number; idev: number };
let parent: number;
let viommu: number;
let nested: number;

const alloc = (hwpt_id: number, over: Partial<Record<string, number | bigint>> = {}) => {
  const { result, out } = c.call(uapi.VIOMMU_ALLOC, { type: VIOMMU, dev_id: device.idev, hwpt_id, ...over });
  return { result, id: out.out_viommu_id };
};
const vdevice = (virt_id: bigint, dev_id = device.idev) =>
  c.call(uapi.VDEVICE_ALLOC, { viommu_id: viommu, dev_id, virt_id });
const vevent = (dev_id = device.idev) => c.errno(abi.TRIGGER_VEVENT, { op: abi.TEST_OP.TRIGGER_VEVENT, dev_id });

beforeEach(() => {
  c = new Client();
  ioas = c.ioas();
  device = c.device(ioas);
  parent = c.hwpt(device.idev, ioas, { flags: 1 }).id;
  viommu = alloc(parent).id;
  nested = c.nested(device.idev, viommu).id;
  return () => {
    for (let fd = 3; fd < 16; fd++) if (isOpen(fd)) c.process.closeFd(fd);
    c.close();
    expect(c.world.iommu.driver.live).toEqual({ domains: 0, viommus: 0, queues: 0, devices: 0, blocksLeft: 0 });
  };
});

function isOpen(fd: number): boolean {
  try {
    return c.process.file(fd).kind === 'ours';
  } catch {
    return false;
  }
}

test('refusals', () => {
  expect(alloc(0).result).toBe(-2);
  expect(alloc(c.hwpt(device.idev, ioas).id).result).toBe(-22);
  expect(alloc(parent, { type: 0xdead }).result).toBe(-95);
  expect(alloc(parent, { dev_id: 999 }).result).toBe(-2);
  expect(c.destroy(parent)).toBe('EBUSY');
  expect(c.destroy(viommu)).toBe('EBUSY');
  expect(vdevice(0x99n, 999).result).toBe(-2);
  const live = c.world.pages.livePages;
  const data = { data_uptr: c.place(new Uint8Array(32)) };
  expect(alloc(parent, { ...data, data_len: 7 }).result).toBe(-22);
  expect(alloc(parent, { ...data, data_len: 25 }).result).toBe(-22);
  expect(alloc(parent, { data_uptr: 1n << 60n, data_len: 24 }).result).toBe(-14);
  expect(c.world.pages.livePages).toBe(live);
});

test('a nested domain needs the vDEVICE; faults go to its queue', () => {
  const queue = c.ok(uapi.FAULT_QUEUE_ALLOC, {});
  expect(c.nested(device.idev, viommu, 4, 0xffff_ffff).errno).toBe('ENOENT');
  expect(c.nested(device.idev, viommu, 0x8000_0004, queue.out_fault_id).errno).toBe('EOPNOTSUPP');
  const iopf = c.nested(device.idev, viommu, 4, queue.out_fault_id).id;
  expect(c.replace(device.stdev, iopf)).toBe('ENOENT');
  expect(vdevice(0x99n).result).toBe(0);
  expect(c.replace(device.stdev, iopf)).toBe('OK');
  expect(c.destroy(iopf)).toBe('EBUSY');
  const trigger = { op: abi.TEST_OP.TRIGGER_IOPF, dev_id: device.idev, grpid: 2, perm: 3, addr: 0xdeadbeafn };
  expect(c.errno(abi.TRIGGER_IOPF, { ...trigger, dev_id: 999 })).toBe('ENOENT');
  expect(c.errno(abi.TRIGGER_IOPF, trigger)).toBe('OK');
  // the guest keeps the PASID table, so faults of unknown PASIDs are its own, too
  expect(c.errno(abi.TRIGGER_IOPF, { ...trigger, pasid: 7 })).toBe('OK');
  const target = c.process.file(queue.out_fault_fd);
  if (target.kind !== 'ours') throw new Error('no queue');
  const at = c.scratch + 0x3000n;
  expect(target.file.read(at, 80, c.process)).toBe(80);
  const words = new Uint8Array(80);
  c.process.read(at, words);
  const view = new Uint32Array(words.buffer);
  expect([view[0], view[2], view[10], view[12]]).toEqual([2, 0, 3, 7]);
  expect(c.replace(device.stdev, ioas)).toBe('OK');
  expect(c.errno(abi.TRIGGER_IOPF, trigger)).toBe('OK');
  expect(target.file.poll() & 1).toBe(0);
  expect(c.destroy(iopf)).toBe('OK');
});

test('the exported page echoes, and is mapped exactly or not at all', () => {
  const data_uptr = c.place(abi.VIOMMU_SELFTEST.encode({ in_data: 0xbeef }));
  const { id } = alloc(parent, { data_uptr, data_len: 24 });
  const bytes = new Uint8Array(24);
  c.process.read(data_uptr, bytes);
  const { in_data, out_data, out_mmap_offset, out_mmap_length } = abi.VIOMMU_SELFTEST.decode(bytes);
  expect([in_data, out_data, out_mmap_length]).toEqual([0xbeef, 0xbeef, 8192n]);
  for (const [offset, length] of [
    [out_mmap_offset + P, 8192n],
    [out_mmap_offset + 2n * P, 8192n],
    [out_mmap_offset, 4096n],
    [out_mmap_offset, 16384n],
  ] as const) {
    expect(c.file.mmap(offset, length, 3, 1)).toBe(-6);
  }
  const region = c.file.mmap(out_mmap_offset, out_mmap_length, 3, 1);
  if (typeof region === 'number') throw new Error('no region');
  expect([...region.bytes.subarray(0, 8)]).toEqual([0xef, 0xbe, 0, 0, 0, 0, 0, 0]);
  expect(c.destroy(id)).toBe('EBUSY');
  region.unmap();
  const live = c.world.pages.livePages;
  expect(c.destroy(id)).toBe('OK');
  expect(c.world.pages.livePages).toBe(live - 2);
});

test('a short structure is echoed as far as it goes', () => {
  const data_uptr = c.place(Uint8Array.of(5, 0, 0, 0, ...new Array(8).fill(0xaa)));
  expect(alloc(parent, { data_uptr, data_len: 8 }).result).toBe(0);
  const bytes = new Uint8Array(12);
  c.process.read(data_uptr, bytes);
  expect([...bytes]).toEqual([5, 0, 0, 0, 5, 0, 0, 0, 0xaa, 0xaa, 0xaa, 0xaa]);
});

describe('events', () => {
  let fd: number;
  let queue: number;
  const read = (room: number): number[] => {
    const target = c.process.file(fd);
    if (target.kind !== 'ours') throw new Error('no queue');
    const at = c.scratch + 0x3000n;
    const length = target.file.read(at, room, c.process);
    if (length < 0) return [length];
    const bytes = new Uint8Array(length);
    c.process.read(at, bytes);
    return [...new Uint32Array(bytes.buffer)];
  };

  beforeEach(() => {
    const out = c.ok(uapi.VEVENTQ_ALLOC, { viommu_id: viommu, type: VEVENTQ, veventq_depth: 2 });
    [fd, queue] = [out.out_veventq_fd, out.out_veventq_id];
  });

  test('carry the id the guest had when it was attached', () => {
    expect(c.replace(device.stdev, nested)).toBe('ENOENT');
    expect(c.errno(uapi.VEVENTQ_ALLOC, { viommu_id: viommu, type: VEVENTQ, veventq_depth: 2 })).toBe('EEXIST');
    expect(vevent(999)).toBe('ENOENT');
    const first = vdevice(0x99n).out.out_vdevice_id;
    expect(vevent()).toBe('ENOENT');
    expect(c.replace(device.stdev, nested)).toBe('OK');
    expect(vevent()).toBe('OK');
    expect(read(12)).toEqual([0, 0, 0x99]);
    expect(vdevice(0x99n).result).toBe(-17);
    expect(c.replace(device.stdev, ioas)).toBe('OK');
    expect(vevent()).toBe('ENOENT');
    expect(c.destroy(first)).toBe('OK');

    const second = vdevice(0x88n).out.out_vdevice_id;
    expect(c.replace(device.stdev, nested)).toBe('OK');
    for (let i = 0; i < 3; i++) expect(vevent()).toBe('OK');
    expect(read(36)).toEqual([0, 1, 0x88, 0, 2, 0x88, 1, 3]);
    expect(vevent()).toBe('OK');
    expect(read(12)).toEqual([0, 4, 0x88]);
    expect(read(12)).toEqual([]);
    expect(c.destroy(second)).toBe('OK');
    expect(vevent()).toBe('OK');
    expect(read(12)).toEqual([0, 5, 0x88]);
    c.process.closeFd(fd);
    expect(c.destroy(queue)).toBe('OK');
    expect(vevent()).toBe('EOPNOTSUPP');
  });

  test('id 0 is legal but none', () => {
    expect(vdevice(0n).result).toBe(0);
    expect(c.replace(device.stdev, nested)).toBe('OK');
    expect(vevent()).toBe('ENOENT');
  });

  test('an id wider than the record is cut', () => {
    expect(vdevice(0x7_0000_0012n).result).toBe(0);
    expect(c.replace(device.stdev, nested)).toBe('OK');
    expect(vevent()).toBe('OK');
    expect(read(12)).toEqual([0, 0, 0x12]);
  });
});

test('invalidations of device caches', () => {
  const run = (entries: number[], over: Partial<Record<string, number | bigint>> = {}) => {
    const data_uptr = c.place(new Uint8Array(Uint32Array.from([...entries, 0, 0, 0]).buffer));
    const shape = { data_uptr, data_type: 0xdeadbeef, entry_len: 12, entry_num: entries.length / 3, ...over };
    const { result, out } = c.call(uapi.HWPT_INVALIDATE, { hwpt_id: viommu, ...shape });
    return [result, out.entry_num];
  };
  const vdev = vdevice(0x99n).out.out_vdevice_id;
  expect(run([])).toEqual([0, 0]);
  expect(run([], { data_type: 0xdadbeef })).toEqual([-22, 0]);
  expect(run([0, 0x99, 0], { data_type: 0xdadbeef })).toEqual([-22, 0]);
  expect(run([0, 0, 0], { entry_len: 13 })).toEqual([-22, 0]);
  expect(run([0, 0x99, 0], { entry_len: 1 })).toEqual([-22, 0]);
  expect(run([0, 0x99, 0, 1], { entry_len: 16, entry_num: 1 })).toEqual([-7, 0]);
  expect(run([0xffff_ffff, 0x99, 0])).toEqual([-95, 0]);
  expect(run([0, 0x99, 0], { data_uptr: 0n })).toEqual([-22, 0]);
  expect(run([0, 0x99, 0], { entry_len: 0 })).toEqual([-22, 0]);
  expect(run([0, 0x99, 4])).toEqual([-22, 0]);
  expect(run([0, 9, 0])).toEqual([-22, 0]);
  expect(c.cache(device.idev)).toEqual(['kept', 'kept', 'kept', 'kept']);
  expect(run([0, 0x99, 0, 0xffff_ffff, 0x99, 1])).toEqual([-95, 1]);
  expect(run([0, 0x99, 0, 0, 0x99, 4])).toEqual([-22, 1]);
  expect(c.cache(device.idev)).toEqual(['cleared', 'kept', 'kept', 'kept']);
  expect(run([0, 0x99, 1])).toEqual([0, 1]);
  expect(run([0, 0x99, 2, 0, 0x99, 3])).toEqual([0, 2]);
  expect(c.cache(device.idev)).toEqual(['cleared', 'cleared', 'cleared', 'cleared']);
  expect(c.destroy(vdev)).toBe('OK');

  const other = c.device(ioas);
  vdevice(0x11n, other.idev);
  expect(run([1, 0x11, 0])).toEqual([0, 1]);
  expect(c.cache(other.idev)).toEqual(['cleared', 'cleared', 'cleared', 'cleared']);
  expect(run([1, 0x99, 0])).toEqual([-22, 0]);
  expect(run([0, 0x11], { entry_len: 8, entry_num: 1 })).toEqual([0, 1]);
  expect(c.slot(abi.TEST_OP.DEV_CHECK_CACHE, other.idev, 4, 0)).toBe('EINVAL');
  expect(c.slot(abi.TEST_OP.DEV_CHECK_CACHE, other.stdev, 0, 0)).toBe('ENOENT');
});

test('hardware queues', () => {
  const make = (index: number, iova: bigint, length: bigint, type: number = HW_QUEUE) => {
    const values = { viommu_id: viommu, type, index, nesting_parent_iova: iova, length };
    const { result, out } = c.call(uapi.HW_QUEUE_ALLOC, values);
    return { result, id: out.out_hw_queue_id };
  };
  expect(make(0, START, P, 0).result).toBe(-95);
  expect(make(0, START, P, 1).result).toBe(-95);
  expect(make(0, START, 0n).result).toBe(-22);
  expect(make(0, TOP, P).result).toBe(-75);
  expect(make(0, START, P).result).toBe(-2);
  const iova = c.map(ioas, c.buffer, P);
  const iova2 = c.map(ioas, c.buffer + P, P);
  expect(make(1, iova, P).result).toBe(-5);
  expect(make(2, iova, P).result).toBe(-22);
  const first = make(0, iova, P);
  expect(first.result).toBe(0);
  expect(make(0, iova, P).result).toBe(-17);
  expect(c.unmap(ioas, iova, P)).toBe('EBUSY');
  expect(c.unmap(ioas, iova2, P)).toBe('OK');
  const second = make(1, iova + P / 2n, P / 2n);
  expect(second.result).toBe(0);
  expect(c.destroy(first.id)).toBe('EBUSY');
  expect(c.destroy(second.id)).toBe('OK');
  expect(c.destroy(first.id)).toBe('OK');
  expect(c.unmap(ioas, iova, P)).toBe('OK');
});

test("a destroyed device leaves its vDEVICE's id dead", () => {
  const vdev = vdevice(0x99n).out.out_vdevice_id;
  expect(c.replace(device.stdev, nested)).toBe('OK');
  expect(c.destroy(device.stdev)).toBe('OK');
  expect(c.destroy(vdev)).toBe('ENOENT');
  for (let i = 0; i < 8; i++) expect(c.ioas()).not.toBe(vdev);
});
