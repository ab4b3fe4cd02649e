/** What the C program expects of `iommufd_ioas`, in all its variants, by the same bytes. */
import { uapi } from '@iommukit/iommufd';
import { beforeEach, describe, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { BUFFER_SIZE, Client, MAP_FLAG, P, START, TOP } from './support/client.ts';

const VARIANTS = [
  { name: 'no domain', domains: 0, limit: 65536 },
  { name: 'a domain, and a device with PASIDs', domains: 1, limit: 65536, pasid: true },
  { name: 'two domains', domains: 2, limit: 65536 },
  { name: 'a domain, a small limit', domains: 1, limit: 16 },
] as const;

describe.each(VARIANTS)('$name', (variant) => {
  let c: Client;
  let ioas: number;
  let base: bigint;
  let stdev = 0;
  let hwpt = 0;
  let idev = 0;
  let pasidDevice = 0;
  const { domains } = variant;

  beforeEach(() => {
    c = new Client();
    ioas = c.ioas();
    expect(c.errno(abi.MEMORY_LIMIT, { op: abi.TEST_OP.SET_TEMP_MEMORY_LIMIT, limit: variant.limit })).toBe('OK');
    base = 0n;
    [stdev, hwpt, idev] = [0, 0, 0];
    for (let i = 0; i < domains; i++) {
      ({ stdev, hwpt, idev } = c.device(ioas));
      expect(c.cache(idev)).toEqual(['kept', 'kept', 'kept', 'kept']);
      base = START;
    }
    if ('pasid' in variant) pasidDevice = c.device(ioas, abi.DEVICE_PASID).idev;
    return () => {
      c.close();
      expect(c.world.pins.pages).toBe(0);
      expect(c.world.iommu.driver.live.domains).toBe(0);
    };
  });

  test('an IOAS is destroyed unless a device uses it, mapped or not', () => {
    c.mapErrno(ioas, c.buffer, P, base);
    expect(c.destroy(ioas)).toBe(domains > 0 ? 'EBUSY' : 'OK');
  });

  test('closing takes ten mappings along', () => {
    for (let i = 0n; i < 10n; i++) expect(c.mapErrno(ioas, c.buffer, P, base + i * P)).toBe('OK');
  });

  test('a device attaches straight to an HWPT', () => {
    expect(c.deviceErrno(hwpt)).toBe(domains > 0 ? 'OK' : 'ENOENT');
  });

  test('hardware information', () => {
    const at = c.scratch + 0x2000n;
    const ask = (dev_id: number, data_len: number, type = 0) => {
      c.place(new Uint8Array(32).fill(0xaa), at);
      const values = { dev_id, data_len, data_uptr: data_len > 0 ? at : 0n, flags: type === 0 ? 0 : 1 };
      return c.call(uapi.GET_HW_INFO, { ...values, out_data_type: type });
    };
    if (domains === 0) return expect(c.errno(uapi.GET_HW_INFO, { dev_id: 0, data_len: 8 })).toBe('ENOENT');
    for (const length of [0, 8, 16, 4]) {
      const { result, out } = ask(idev, length);
      expect(result).toBe(0);
      expect(out).toMatchObject({ data_len: 8, out_data_type: 0xfeedbeef, out_max_pasid_log2: 0 });
      const seen = new Uint8Array(24);
      c.process.read(at, seen);
      const whole = [0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0, 0, 0, 0, 0];
      expect([...seen]).toEqual([...whole.slice(0, length), ...new Array(24 - length).fill(0xaa)]);
    }
    expect(ask(idev, 8, 0xfeedbef0).result).toBe(-95);
    expect(ask(idev, 8, 0xfeedbeef).result).toBe(0);
    if (pasidDevice) expect(ask(pasidDevice, 8).out.out_max_pasid_log2).toBe(20);
  });

  test('areas: unmap, over-map, cut', () => {
    for (let i = 0n; i < 10n; i++) expect(c.unmap(ioas, i * P, P)).toBe('ENOENT');
    for (let i = 0n; i < 10n; i++) expect(c.mapErrno(ioas, c.buffer, P, base + i * P)).toBe('OK');
    for (let i = 0n; i < 10n; i++) expect(c.unmap(ioas, base + i * P, P)).toBe('OK');
    expect(c.mapErrno(ioas, c.buffer, 2n * P, base + 16n * P)).toBe('OK');
    for (const at of [16n, 17n]) expect(c.unmap(ioas, base + at * P, P)).toBe('ENOENT');
    for (const [at, pages] of [
      [16n, 2n],
      [16n, 1n],
      [17n, 1n],
      [15n, 2n],
      [15n, 3n],
    ] as const) {
      expect(c.mapErrno(ioas, c.buffer, pages * P, base + at * P)).toBe('EEXIST');
    }
    expect(c.unmap(ioas, 0n, TOP)).toBe('OK');
    expect(c.unmap(ioas, 0n, TOP)).toBe('OK');
  });

  test('only areas inside the request are unmapped, and counted', () => {
    const from = base + 4n * P;
    for (let i = 0n; i < 4n; i++) expect(c.mapErrno(ioas, c.buffer, 8n * P, from + i * 16n * P)).toBe('OK');
    expect(c.unmap(ioas, from - 4n * P, 8n * P)).toBe('ENOENT');
    expect(c.unmap(ioas, from + (3n * 16n + 4n) * P, 8n * P)).toBe('ENOENT');
    const { length } = c.ok(uapi.IOAS_UNMAP, { ioas_id: ioas, iova: from - 4n * P, length: (3n * 16n + 12n) * P });
    expect(length).toBe(32n * P);
  });

  /** Lengths of 1 to 10 pages, each placed at a multiple of its own alignment. */
  const mapTen = (check: (iova: bigint, length: bigint) => void, from = c.buffer): void => {
    const placed: [bigint, bigint][] = [];
    for (let pages = 1n; pages <= 10n; pages++) {
      const length = pages * P;
      const iova = c.map(ioas, from, length);
      expect(iova % (length & -length)).toBe(0n);
      check(iova, length);
      placed.push([iova, length]);
    }
    for (const [iova, length] of placed) expect(c.unmap(ioas, iova, length)).toBe('OK');
  };

  test('automatic placement keeps alignment, reserved and allowed ranges', () => {
    mapTen(() => {}, domains > 0 ? c.buffer : 1n << 31n);
    expect(c.reserve(ioas, 4n * P, 100n * P)).toBe('OK');
    mapTen((iova) => expect(iova > 4n * P && iova < 104n * P).toBe(false));
    expect(c.allow(ioas, [P, 600n * P])).toBe('EADDRINUSE');
    const [start, last] = domains > 0 ? [START + P, START + 600n * P - 1n] : [200n * P, 600n * P - 1n];
    expect(c.allow(ioas, [start, last])).toBe('OK');
    mapTen((iova, length) => expect(iova >= start && iova + length <= last + 1n).toBe(true));
  });

  test('a reserved range that ends just under the top leaves no place', () => {
    expect(c.reserve(ioas, 6n, 0xffffffffffff8001n)).toBe('OK');
    expect(c.mapErrno(ioas, c.buffer, 0x5000n)).toBe('ENOSPC');
  });

  test('reserved and allowed ranges exclude each other', () => {
    expect(c.allow(ioas, [base, base + 600n * P])).toBe('OK');
    expect(c.reserve(ioas, base + P, P)).toBe('EADDRINUSE');
    expect(c.allow(ioas)).toBe('OK');
    expect(c.reserve(ioas, base + P, P)).toBe('OK');
    expect(c.allow(ioas, [base, base + 600n * P])).toBe('EADDRINUSE');
  });

  test('copies, inside an IOAS and between two', () => {
    expect(c.mapErrno(ioas, c.buffer, P, base)).toBe('OK');
    const copy = { src_ioas_id: ioas, src_iova: base, length: P, flags: MAP_FLAG.FIXED | MAP_FLAG.WRITE };
    expect(c.errno(uapi.IOAS_COPY, { ...copy, dst_ioas_id: ioas, dst_iova: base + P })).toBe('OK');
    expect(c.errno(uapi.IOAS_COPY, { ...copy, dst_ioas_id: c.ioas(), dst_iova: 0n })).toBe('OK');
    expect(c.checkRefs(c.buffer, P, domains > 0 ? 1 : 0)).toBe('OK');
  });

  test('copies of half pages at odd places', () => {
    const dst = c.ioas();
    const last = START + BUFFER_SIZE - (domains > 0 ? 1n : 2n);
    expect(c.mapErrno(ioas, c.buffer, last - START + 1n, START)).toBe('OK');
    const copy = { src_ioas_id: ioas, dst_ioas_id: dst, dst_iova: START, length: abi.MOCK_PAGE_SIZE, flags: 3 };
    for (let iova = START - P; iova <= last; iova += 511n) {
      const inside = iova >= START && iova + abi.MOCK_PAGE_SIZE - 1n <= last;
      expect(c.errno(uapi.IOAS_COPY, { ...copy, src_iova: iova })).toBe(inside ? 'OK' : 'ENOENT');
      if (inside) expect(c.unmap(dst, START, abi.MOCK_PAGE_SIZE)).toBe('OK');
    }
    expect(c.destroy(dst)).toBe('OK');
  });

  test('usable ranges', () => {
    const at = c.scratch + 0x4000n;
    const ask = (num_iovas: number) => {
      c.place(new Uint8Array(64), at);
      const answer = c.call(uapi.IOAS_IOVA_RANGES, { ioas_id: ioas, num_iovas, allowed_iovas: at });
      const bytes = new Uint8Array(32);
      c.process.read(at, bytes);
      return { ...answer, ranges: [...new BigUint64Array(bytes.buffer)] };
    };
    const first = domains > 0 ? [START, (1n << 31n) - 1n] : [0n, TOP];
    expect(ask(100)).toMatchObject({ result: 0, ranges: [...first, 0n, 0n] });
    expect(ask(100).out).toMatchObject({ num_iovas: 1, out_iova_alignment: domains > 0 ? 2048n : 1n });
    expect(ask(0)).toMatchObject({ result: -90, out: { num_iovas: 1 }, ranges: [0n, 0n, 0n, 0n] });
    expect(c.reserve(ioas, P, P)).toBe('OK');
    if (domains > 0) return expect(ask(1)).toMatchObject({ result: 0, out: { num_iovas: 1 } });
    expect(ask(100)).toMatchObject({ result: 0, out: { num_iovas: 2 }, ranges: [0n, P - 1n, 2n * P, TOP] });
    expect(ask(1)).toMatchObject({ result: -90, out: { num_iovas: 2 }, ranges: [0n, P - 1n, 0n, 0n] });
  });

  test('odd lengths go as far as the alignment of a domain', () => {
    for (let length = 1n; length < 2n * P; length += 1n + (length % 97n)) {
      const fits = domains === 0 || length % abi.MOCK_PAGE_SIZE === 0n;
      const { result, out } = c.call(uapi.IOAS_MAP, { ioas_id: ioas, user_va: c.buffer, length, flags: 6 });
      expect(result).toBe(fits ? 0 : -22);
      if (fits) expect(c.unmap(ioas, out.iova, length)).toBe('OK');
    }
  });

  test('the huge-page option, and the alignment it brings', () => {
    const set = (op: number, val64: bigint) => c.call(uapi.OPTION, { option_id: 1, op, object_id: ioas, val64 });
    expect(set(1, 3n).out.val64).toBe(1n);
    expect(set(0, 0n).result).toBe(0);
    expect(set(1, 3n).out.val64).toBe(0n);
    expect(set(0, 2n).result).toBe(-22);
    expect(set(0, 1n).result).toBe(0);
    if (domains > 0) return;
    const half = abi.MOCK_PAGE_SIZE;
    expect(c.mapErrno(ioas, c.buffer, P, START)).toBe('OK');
    expect(set(0, 0n).result).toBe(0);
    expect(c.mapErrno(ioas, c.buffer + half, P, START + P)).toBe('EINVAL');
    expect(set(0, 1n).result).toBe(0);
    expect(c.mapErrno(ioas, c.buffer + half, P, START + P)).toBe('OK');
    expect(set(0, 0n).result).toBe(-98);
  });

  test('dma-bufs: ranges, revocation', () => {
    const length = 4n * P;
    const get = (bytes: number) =>
      c.raw(0x3ba0, abi.DMABUF_GET.encode({ op: abi.TEST_OP.DMABUF_GET, length: bytes, open_flags: 0x80000 }));
    const revoke = (fd: number, revoked: number) =>
      c.errno(abi.DMABUF_REVOKE, { op: abi.TEST_OP.DMABUF_REVOKE, dmabuf_fd: fd, revoked });
    expect(get(0)).toBe(-22);
    expect(get(513 * 4096)).toBe(-22);
    const fd = get(Number(length) - 1);
    expect(fd).toBeGreaterThan(0);
    expect(c.mapFile(ioas, fd, 0n, 0n).errno).toBe('EINVAL');
    expect(c.mapFile(ioas, fd, length, length).errno).toBe('EINVAL');
    expect(c.mapFile(ioas, fd, 0n, length + 1n).errno).toBe('EINVAL');
    const { iova } = c.mapFile(ioas, fd, 0n, length);
    expect(revoke(fd, 1)).toBe('OK');
    if (domains > 0) expect(c.hwpt(idev, ioas).errno).toBe('OK');
    expect(c.mapFile(ioas, fd, 0n, length).errno).toBe('ENODEV');
    expect(revoke(fd, 0)).toBe('OK');
    expect(c.mapFile(ioas, fd, 0n, length).errno).toBe('OK');
    expect(c.unmap(ioas, iova, length)).toBe('OK');
    expect(c.mapFile(ioas, fd, 0n, length, iova).errno).toBe('OK');
    const access = c.createAccess(ioas);
    expect(revoke(access, 1)).toBe('EINVAL');
    c.process.closeFd(access);
    expect(revoke(99, 1)).toBe('EBADF');
    const before = c.world.pages.livePages;
    c.process.closeFd(fd);
    expect(c.world.pages.livePages).toBe(before);
    expect(c.unmap(ioas, 0n, TOP)).toBe('OK');
    expect(c.world.pages.livePages).toBe(before - 4);
  });

  test("a guest's page tables: negative cases, invalidation, faults", () => {
    if (domains === 0) {
      expect(c.hwpt(0, ioas).errno).toBe('ENOENT');
      expect(c.nested(0, 0).errno).toBe('ENOENT');
      return expect(c.replace(0, 0)).toBe('ENOENT');
    }
    expect(c.hwpt(ioas, idev).errno).toBe('ENOENT');
    expect(c.hwpt(idev, idev).errno).toBe('EINVAL');
    expect(c.hwpt(idev, ioas, { flags: 1 | 4 }).errno).toBe('EOPNOTSUPP');
    const parent = c.hwpt(idev, ioas, { flags: 1 }).id;
    const plain = c.hwpt(idev, ioas).id;
    const at = c.place(abi.HWPT_SELFTEST.encode({ iotlb: abi.IOTLB_DEFAULT }));
    const with_ = (data_type: number, data_len: number, data_uptr = at, flags = 0, pt = parent) =>
      c.hwpt(idev, pt, { data_type, data_len, data_uptr, flags }).errno;
    expect(with_(0, 8)).toBe('EINVAL');
    expect(with_(0xdeae, 8)).toBe('EOPNOTSUPP');
    expect(with_(0xdead, 3)).toBe('EINVAL');
    expect(with_(0xdead, 9)).toBe('EINVAL');
    expect(with_(0xdead, 8, 0n)).toBe('EFAULT');
    expect(with_(0xdead, 8, at, 1)).toBe('EOPNOTSUPP');
    expect(with_(0xdead, 8, at, 0, plain)).toBe('EINVAL');

    const fault = c.ok(uapi.FAULT_QUEUE_ALLOC, {});
    const [a, b] = [c.nested(idev, parent).id, c.nested(idev, parent).id];
    expect(c.nested(idev, parent, 4, 0xffff_ffff).errno).toBe('ENOENT');
    const iopf = c.nested(idev, parent, 4, fault.out_fault_id).id;
    expect(c.nested(idev, a).errno).toBe('EINVAL');
    expect(c.destroy(parent)).toBe('EBUSY');
    invalidation(parent, a, b);

    expect(c.replace(stdev, a)).toBe('OK');
    expect(c.destroy(a)).toBe('EBUSY');
    expect(c.replace(stdev, b)).toBe('OK');
    expect(c.destroy(b)).toBe('EBUSY');
    expect(c.destroy(a)).toBe('OK');
    expect(c.replace(stdev, iopf)).toBe('OK');
    expect(c.destroy(iopf)).toBe('EBUSY');
    pageFault(fault.out_fault_fd);
    expect(c.replace(stdev, parent)).toBe('OK');
    for (const id of [b, iopf]) expect(c.destroy(id)).toBe('OK');
    expect(c.replace(stdev, ioas)).toBe('OK');
    for (const id of [parent, plain]) expect(c.destroy(id)).toBe('OK');
    expect(c.destroy(fault.out_fault_id)).toBe('EBUSY');
    c.process.closeFd(fault.out_fault_fd);
    expect(c.destroy(fault.out_fault_id)).toBe('OK');
  });

  const invalidation = (parent: number, a: number, b: number): void => {
    const run = (hwpt_id: number, entries: number[], over: Partial<Record<string, number | bigint>> = {}) => {
      const data_uptr = c.place(new Uint8Array(Uint32Array.from(entries).buffer));
      const shape = { data_uptr, data_type: 0xdeadbeef, entry_len: 8, entry_num: entries.length / 2, ...over };
      const { result, out } = c.call(uapi.HWPT_INVALIDATE, { hwpt_id, ...shape });
      return [result, out.entry_num];
    };
    expect(run(parent, [0, 0])).toEqual([-22, 0]);
    expect(run(a, [])).toEqual([0, 0]);
    expect(run(a, [0, 0], { data_type: 0xdadbeef })).toEqual([-22, 0]);
    expect(run(a, [0, 0], { entry_len: 9 })).toEqual([-22, 0]);
    expect(run(a, [0, 0], { entry_len: 1 })).toEqual([-22, 0]);
    expect(run(a, [0, 0], { entry_len: 0 })).toEqual([-22, 0]);
    expect(run(a, [0, 0], { data_uptr: 0n })).toEqual([-22, 0]);
    expect(run(a, [0, 0], { data_uptr: 1n << 60n })).toEqual([-14, 0]);
    expect(run(a, [0xffff_ffff, 0])).toEqual([-95, 0]);
    expect(run(a, [0, 4])).toEqual([-22, 0]);
    expect(run(a, [1, 4])).toEqual([-22, 0]);
    expect(c.iotlb(a)).toEqual(['kept', 'kept', 'kept', 'kept']);
    expect(run(a, [0, 0, 0xffff_ffff, 1])).toEqual([-95, 1]);
    expect(run(a, [0, 0, 0, 4])).toEqual([-22, 1]);
    expect(c.iotlb(a)).toEqual(['cleared', 'kept', 'kept', 'kept']);
    expect(run(a, [0, 1])).toEqual([0, 1]);
    expect(c.iotlb(a)).toEqual(['cleared', 'cleared', 'kept', 'kept']);
    expect(run(a, [0, 2, 0, 3])).toEqual([0, 2]);
    expect(c.iotlb(a)).toEqual(['cleared', 'cleared', 'cleared', 'cleared']);
    expect(c.iotlb(b)).toEqual(['kept', 'kept', 'kept', 'kept']);
    expect(run(b, [1, 0])).toEqual([0, 1]);
    expect(c.iotlb(b)).toEqual(['cleared', 'cleared', 'cleared', 'cleared']);
    expect(c.slot(abi.TEST_OP.MD_CHECK_IOTLB, b, 4, 0)).toBe('EINVAL');
    expect(c.slot(abi.TEST_OP.MD_CHECK_IOTLB, parent, 0, 0)).toBe('ENOENT');
  };

  const pageFault = (fd: number): void => {
    const target = c.process.file(fd);
    if (target.kind !== 'ours') throw new Error('no queue');
    const trigger = { op: abi.TEST_OP.TRIGGER_IOPF, dev_id: idev, grpid: 2, perm: 3, addr: 0xdeadbeafn };
    expect(target.file.poll() & 1).toBe(0);
    expect(c.errno(abi.TRIGGER_IOPF, trigger)).toBe('OK');
    expect(target.file.poll() & 1).toBe(1);
    const at = c.scratch + 0x3000n;
    expect(target.file.read(at, 40, c.process)).toBe(40);
    const record = new Uint8Array(40);
    c.process.read(at, record);
    // flags LAST_PAGE, device, no PASID, group 2, READ|WRITE, pad, address, length 0, cookie 1
    expect([...new Uint32Array(record.buffer)]).toEqual([2, idev, 0, 2, 3, 0, 0xdeadbeaf, 0, 0, 1]);
    c.place(new Uint8Array(Uint32Array.of(1, 0).buffer), at);
    expect(target.file.write(at, 8, c.process)).toBe(8);
    expect(c.world.iommu.driver.responses).toEqual([{ pasid: 0, groupId: 2, code: 0 }]);
  };
});
