import { expect, test } from 'vitest';
import { ExportedDmaBuf, type HwptPaging, LimitedAccount, type OpenFile, uapi } from '../src/index.ts';
import { Bench, errnoName, NOTHING_LEFT } from './support/bench.ts';
import { FAKE, type FakePaging } from './support/fake-driver.ts';

const TOP = 2n ** 64n - 1n;

function withIoas(options = {}) {
  const bench = new Bench(options);
  const { out_ioas_id: ioas } = bench.ok(uapi.IOAS_ALLOC, {});
  const hwpt = (flags = 0) => bench.ok(uapi.HWPT_ALLOC, { flags, dev_id: 1, pt_id: ioas }).out_hwpt_id;
  const ops = (id: number) => bench.context.get<HwptPaging>(id, 'hwpt-paging').domain.ops as FakePaging;
  const buffer = bench.scratch + 0x8000n;
  const peek = (length: number, at = buffer) => {
    const bytes = new Uint8Array(length);
    bench.process.read(at, bytes);
    return bytes;
  };
  return { bench, ioas, hwpt, ops, buffer, peek };
}

test('GET_HW_INFO writes what fits, clears the rest, and tells the true length', () => {
  const { bench, buffer, peek } = withIoas({ maxPasids: 1000, dirty: true });
  const ask = (data_len: number) => {
    bench.process.write(buffer, new Uint8Array(16).fill(0xee));
    const out = bench.ok(uapi.GET_HW_INFO, { dev_id: 1, data_len, data_uptr: buffer });
    expect([out.data_len, out.out_data_type, out.out_max_pasid_log2]).toEqual([8, FAKE.HW_INFO, 9]);
    expect(out.out_capabilities).toBe(1n | 8n); // dirty tracking; ATS cannot be used
    return Buffer.from(peek(16)).toString('hex');
  };
  expect(ask(8)).toBe('0102030405060708eeeeeeeeeeeeeeee');
  expect(ask(3)).toBe('010203eeeeeeeeeeeeeeeeeeeeeeeeee');
  expect(ask(12)).toBe('010203040506070800000000eeeeeeee');
  expect(bench.errno(uapi.GET_HW_INFO, { dev_id: 1, data_len: 0xffff_ffff, data_uptr: buffer })).toBe('EFAULT');
});

test('IOVA ranges: the count is true even when there is no room', () => {
  const { bench, ioas, hwpt, buffer, peek } = withIoas({ geometry: { start: 0x1000n, last: 0xffff_ffffn } });
  hwpt();
  const { result, out } = bench.call(uapi.IOAS_IOVA_RANGES, { ioas_id: ioas });
  expect([errnoName(result), out.num_iovas, out.out_iova_alignment]).toEqual(['EMSGSIZE', 1, 4096n]);
  const ok = bench.ok(uapi.IOAS_IOVA_RANGES, { ioas_id: ioas, num_iovas: 5, allowed_iovas: buffer });
  expect(ok.num_iovas).toBe(1);
  expect(uapi.IOVA_RANGE.decode(peek(16))).toEqual({ start: 0x1000n, last: 0xffff_ffffn });
});

test('options: what is set is read back, and an error of the write-back comes after the effect', () => {
  const { bench, ioas } = withIoas();
  expect(bench.ok(uapi.OPTION, { option_id: 1, op: 1, object_id: ioas, val64: 9n }).val64).toBe(1n);
  bench.ok(uapi.OPTION, { option_id: 1, op: 0, object_id: ioas, val64: 0n });
  bench.ok(uapi.OPTION, { option_id: 1, op: 0, object_id: ioas, val64: 0n });
  expect(bench.ok(uapi.OPTION, { option_id: 1, op: 1, object_id: ioas }).val64).toBe(0n);
  expect(
    bench.ok(uapi.IOAS_IOVA_RANGES, { ioas_id: ioas, num_iovas: 1, allowed_iovas: bench.scratch + 0x8000n })
      .out_iova_alignment,
  ).toBe(4096n);
  const pa = BigInt(bench.pages.alloc(4096));
  bench.memory.writeBytes(pa, uapi.OPTION.encode({ option_id: 1, op: 0, object_id: ioas, val64: 1n }));
  bench.process.map(0x10_0000n, 4096n, pa, false);
  expect(errnoName(bench.file.ioctl(0x3b87, 0x10_0000n, bench.process))).toBe('EFAULT');
  expect(bench.ok(uapi.OPTION, { option_id: 1, op: 1, object_id: ioas }).val64).toBe(1n);
});

test('without large pages every entry is a page', () => {
  const { bench, ioas, hwpt, ops } = withIoas();
  const va = bench.process.alloc(1 << 22);
  const id = hwpt();
  const map = { ioas_id: ioas, flags: 7, user_va: va, length: 1n << 22n, iova: 1n << 22n };
  bench.ok(uapi.IOAS_MAP, map);
  expect(ops(id).leaves.size).toBe(2);
  bench.ok(uapi.IOAS_UNMAP, { ioas_id: ioas, length: TOP });
  bench.ok(uapi.OPTION, { option_id: 1, op: 0, object_id: ioas, val64: 0n });
  bench.ok(uapi.IOAS_MAP, map);
  expect(ops(id).leaves.size).toBe(1024);
});

test('dirty bits count from the iova asked for, are only set, and fold into larger pages', () => {
  const { bench, ioas, hwpt, ops, buffer, peek } = withIoas({ dirty: true, pageSizes: (1n << 12n) | (1n << 14n) });
  const va = bench.process.alloc(1 << 22);
  const id = hwpt(2);
  for (const [i, length] of [0x4000n, 0x1000n, 0x1000n, 0x1000n, 0x1000n].entries()) {
    const iova = i === 0 ? 0x10_0000n : 0x10_4000n + BigInt(i - 1) * 0x1000n;
    bench.ok(uapi.IOAS_MAP, { ioas_id: ioas, flags: 7, user_va: va, length, iova });
  }
  const dirty = (...iovas: bigint[]) => {
    for (const iova of iovas) ops(id).leaves.get(iova)!.dirty = true;
  };
  const get = (iova: bigint, length: bigint, page_size: bigint, flags = 0) => {
    bench.process.write(buffer, Uint8Array.of(0x80, 0xee));
    bench.ok(uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: id, flags, iova, length, page_size, data: buffer });
    return Buffer.from(peek(2)).toString('hex');
  };
  dirty(0x10_0000n, 0x10_5000n);
  expect(get(0x10_0000n, 0x8000n, 0x1000n, 1)).toBe('afee'); // 0-3 the large one, 5, and the 7 that stood there
  expect(get(0x10_2000n, 0x4000n, 0x1000n, 1)).toBe('8bee'); // relative: 0, 1 and 3
  expect(get(0x10_0000n, 0x8000n, 0x4000n, 1)).toBe('83ee'); // folded
  const syncs = ops(id).syncs;
  expect(get(0x10_0000n, 0x8000n, 0x1000n)).toBe('afee');
  expect(ops(id).syncs).toBe(syncs + 1);
  expect(get(0x10_0000n, 0x8000n, 0x1000n)).toBe('80ee');
  dirty(0x10_6000n);
  const bad = { hwpt_id: id, iova: 0x10_0000n, length: 0x8000n, page_size: 0x1000n, data: 8n };
  expect(bench.errno(uapi.HWPT_GET_DIRTY_BITMAP, bad)).toBe('EFAULT');
  expect(get(0x10_0000n, 0x8000n, 0x1000n)).toBe('c0ee'); // nothing was lost by the fault
  dirty(0x10_6000n);
  bench.ok(uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id: id, flags: 1 });
  expect(get(0x10_0000n, 0x8000n, 0x1000n)).toBe('80ee'); // turning it on starts clean
});

test('a dirty leaf that spans two windows of the bitmap shows in both', () => {
  const { bench, ioas, hwpt, ops } = withIoas({ dirty: true, pageSizes: (1n << 12n) | (1n << 36n) });
  bench.process.map(1n << 36n, 1n << 36n, 1n << 36n);
  const id = hwpt(2);
  bench.ok(uapi.IOAS_MAP, { ioas_id: ioas, flags: 7, user_va: 1n << 36n, length: 1n << 36n, iova: 1n << 36n });
  expect(ops(id).leaves.size).toBe(1);
  ops(id).leaves.get(1n << 36n)!.dirty = true;
  const data = bench.process.alloc(2 << 20);
  bench.ok(uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: id, iova: 1n << 36n, length: 1n << 36n, page_size: 4096n, data });
  const bytes = new Uint8Array(2 << 20);
  bench.process.read(data, bytes);
  expect(bytes.every((byte) => byte === 0xff)).toBe(true);
});

test('invalidation always tells how far it came', () => {
  const { bench, hwpt, buffer } = withIoas();
  const parent = hwpt(1);
  const data = { data_type: FAKE.HWPT_DATA, data_len: 8, data_uptr: buffer };
  const nested = bench.ok(uapi.HWPT_ALLOC, { dev_id: 1, pt_id: parent, ...data }).out_hwpt_id;
  const viommu = bench.ok(uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: 1, hwpt_id: parent }).out_viommu_id;
  const run = (hwpt_id: number, words: number[], extra: object = {}) => {
    bench.process.write(buffer, new Uint8Array(Uint32Array.from(words).buffer));
    const array = { data_type: FAKE.INVALIDATE, data_uptr: buffer, entry_len: 4, entry_num: words.length };
    const { result, out } = bench.call(uapi.HWPT_INVALIDATE, { hwpt_id, ...array, ...extra });
    return [errnoName(result), out.entry_num];
  };
  for (const id of [nested, viommu]) {
    expect(run(id, [1, 2, 3])).toEqual(['OK', 3]);
    expect(run(id, [1, 2, 0xff, 4])).toEqual(['EIO', 2]);
    expect(run(id, [1], { data_type: 1 })).toEqual(['EINVAL', 0]);
    expect(run(id, [1], { __reserved: 1 })).toEqual(['EOPNOTSUPP', 0]);
    expect(run(id, [], {})).toEqual(['OK', 0]);
  }
  expect(run(999, [1, 2])).toEqual(['ENOENT', 0]);
  const edge = { data_uptr: bench.scratch + 65536n - 8n };
  bench.process.write(bench.scratch + 65536n - 8n, new Uint8Array(8));
  expect(run(nested, [1, 2, 3, 4], edge)).toEqual(['EFAULT', 2]);
  expect(run(viommu, [1, 2, 3, 4], edge)).toEqual(['EFAULT', 0]);
  expect(run(viommu, [], { data_uptr: 8n, entry_len: 4096, entry_num: 1 << 19 })).toEqual(['ENOMEM', 0]);
});

test('a memory file is mapped lazily, shared by copies, and charged once', () => {
  const { bench, ioas, hwpt, ops } = withIoas();
  const { fd, file } = bench.process.memfd(0x8000n);
  const map = { ioas_id: ioas, flags: 7, fd, start: 0x2000n, length: 0x4000n };
  bench.ok(uapi.IOAS_MAP_FILE, { ...map, iova: 0x10_0000n });
  expect(file.pinnedPages).toBe(0n);
  const id = hwpt();
  expect(file.pinnedPages).toBe(4n);
  expect(ops(id).iovaToPhys(0x10_1234n)).toBe(file.pa + 0x3234n);
  const other = bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id;
  bench.ok(uapi.HWPT_ALLOC, { dev_id: 1, pt_id: other });
  const copy = { flags: 7, src_ioas_id: ioas, dst_ioas_id: other, length: 0x2000n, src_iova: 0x10_1000n, dst_iova: 0n };
  bench.ok(uapi.IOAS_COPY, copy);
  expect([file.pinnedPages, bench.process.accounts.user.pages]).toEqual([4n, 4n]);
  bench.ok(uapi.IOAS_UNMAP, { ioas_id: ioas, length: TOP });
  expect([file.pinnedPages, bench.process.accounts.user.pages]).toEqual([2n, 2n]);
  file.truncate(0n);
  expect(bench.errno(uapi.IOAS_MAP_FILE, { ...map, iova: 0x10_0000n })).toBe('EINVAL');
  expect(bench.close()).toEqual(NOTHING_LEFT);
  expect(file.pinnedPages).toBe(0n);
});

test('automatic placement follows the file offset', () => {
  const { bench, ioas } = withIoas();
  const { fd } = bench.process.memfd(0x80_0000n);
  const place = (start: bigint, length: bigint) =>
    bench.ok(uapi.IOAS_MAP_FILE, { ioas_id: ioas, flags: 6, fd, start, length }).iova;
  expect(place(0n, 0x20_0000n)).toBe(0x20_0000n);
  expect(place(0x1000n, 0x20_0000n)).toBe(0x40_0000n);
  expect(place(0x800n, 0x800n)).toBe(0x1800n);
});

test('a copy is placed by the address its pages came from', () => {
  const { bench, ioas } = withIoas();
  const va = bench.process.alloc(0x40_0000) + 0x3000n;
  bench.ok(uapi.IOAS_MAP, { ioas_id: ioas, flags: 7, user_va: va, length: 0x20_0000n, iova: 0x1000_0000n });
  const copy = (src_iova: bigint, length: bigint) =>
    bench.ok(uapi.IOAS_COPY, { flags: 6, src_ioas_id: ioas, dst_ioas_id: ioas, src_iova, length }).dst_iova;
  expect(copy(0x1000_0000n, 0x10_0000n)).toBe(0x1000n); // 0x…3000: a page
  expect(copy(0x1000_1000n, 0x1_0000n)).toBe(0x10_4000n); // 0x…4000: 16 KiB
});

test('a dma-buf: its range, its exporter, and revocation', () => {
  const { bench, ioas, hwpt, ops } = withIoas();
  const pa = BigInt(bench.pages.alloc(0x4000));
  const dmaBuf = new ExportedDmaBuf([{ pa, length: 0x4000n }]);
  const fd = bench.process.open({ dmaBuf, close() {} } as unknown as OpenFile);
  const map = (iova: bigint, extra = {}) => {
    const values = { ioas_id: ioas, flags: 7, fd, length: 0x4000n, iova, ...extra };
    return bench.errno(uapi.IOAS_MAP_FILE, values);
  };
  expect(map(0n, { length: 0x5000n })).toBe('EINVAL'); // at once, not when pinned
  const id = hwpt();
  expect(map(0x10_0000n)).toBe('OK');
  expect(ops(id).iovaToPhys(0x10_2000n)).toBe(pa + 0x2000n);
  const part = { flags: 7, src_ioas_id: ioas, dst_ioas_id: ioas, length: 0x1000n };
  bench.ok(uapi.IOAS_COPY, { ...part, src_iova: 0x10_1000n, dst_iova: 0x20_0000n });
  dmaBuf.setRevoked(true);
  expect(ops(id).leaves.size).toBe(0);
  expect(map(0x10_0000n)).toBe('ENODEV'); // before the addresses, which are still taken
  const late = hwpt();
  expect(ops(late).leaves.size).toBe(0);
  dmaBuf.setRevoked(false);
  expect(ops(id).leaves.size).toBe(0);
  expect(map(0x10_0000n)).toBe('EEXIST');
  bench.ok(uapi.IOAS_UNMAP, { ioas_id: ioas, iova: 0x10_0000n, length: 0x4000n });
  expect(map(0x10_0000n)).toBe('OK');
  expect(ops(late).iovaToPhys(0x10_0000n)).toBe(pa);
  expect(bench.close()).toEqual(NOTHING_LEFT);
});

test('an exporter without physical pages', () => {
  const { bench, ioas } = withIoas();
  const dmaBuf = { ...new ExportedDmaBuf([]), size: 0x1000n, supported: false, revoked: true };
  const fd = bench.process.open({ dmaBuf, close() {} } as unknown as OpenFile);
  expect(bench.errno(uapi.IOAS_MAP_FILE, { ioas_id: ioas, flags: 7, fd, length: 0x1000n })).toBe('EOPNOTSUPP');
});

test('who pays: the user, or in mode 1 the process; a change of process moves it all or nothing', () => {
  const bench = new Bench();
  bench.bound.unbind();
  bench.ok(uapi.OPTION, { option_id: 0, op: 0, val64: 1n });
  expect(bench.ok(uapi.OPTION, { option_id: 0, op: 1, val64: 7n }).val64).toBe(1n);
  expect(bench.errno(uapi.OPTION, { option_id: 0, op: 0, val64: 2n })).toBe('EINVAL');
  const { out_ioas_id: ioas } = bench.ok(uapi.IOAS_ALLOC, {});
  const vfio = bench.addUnit();
  bench.ok(uapi.HWPT_ALLOC, { dev_id: vfio.bound.id, pt_id: ioas });
  const { fd } = bench.process.memfd(0x8000n);
  const map = { ioas_id: ioas, flags: 6, fd, length: 0x3000n };
  bench.ok(uapi.IOAS_MAP_FILE, map);
  bench.ok(uapi.IOAS_MAP_FILE, map);
  expect([bench.process.accounts.user.pages, bench.process.accounts.process.pages]).toEqual([0n, 6n]);
  const other = new LimitedAccount('process', 5n);
  const move = () =>
    bench.file.ioctl(0x3b92, bench.scratch, {
      privileged: false,
      accountFor: () => other,
      read: (address, bytes) => bench.process.read(address, bytes),
      write: (address, bytes) => bench.process.write(address, bytes),
      pin: () => [],
      unpin() {},
      pagesOf: () => [],
      newFile: () => 0,
      file: () => ({ kind: 'other' }),
    });
  bench.process.write(bench.scratch, uapi.IOAS_CHANGE_PROCESS.encode({}));
  expect(errnoName(move())).toBe('ENOMEM');
  expect([bench.process.accounts.process.pages, other.pages]).toEqual([6n, 0n]);
  other.limit = null;
  expect(errnoName(move())).toBe('OK');
  expect([bench.process.accounts.process.pages, other.pages]).toEqual([0n, 6n]);
  bench.ok(uapi.IOAS_UNMAP, { ioas_id: ioas, length: TOP });
  expect(other.pages).toBe(0n);
});

test('a vDEVICE dies with its binding and its id is never used again', () => {
  const { bench, hwpt } = withIoas();
  const parent = hwpt(1);
  const viommu = bench.ok(uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: 1, hwpt_id: parent }).out_viommu_id;
  const id = bench.ok(uapi.VDEVICE_ALLOC, { viommu_id: viommu, dev_id: 1, virt_id: 3n }).out_vdevice_id;
  bench.bound.unbind();
  expect(bench.errno(uapi.DESTROY, { id })).toBe('ENOENT');
  const fresh = bench.addUnit();
  expect([id, fresh.bound.id]).toEqual([5, 1]);
  expect([1, 2].map(() => bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id)).toEqual([6, 7]);
});
