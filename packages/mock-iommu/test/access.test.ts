/** Emulated devices: pins, copies, other processes; what `access_*`, `fork_*` and `user_copy` expect. */
import { uapi } from '@iommukit/iommufd';
import { beforeEach, describe, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { BUFFER_SIZE, Client, MAP_FLAG, P, START, TOP } from './support/client.ts';

let c: Client;
let ioas: number;

describe.each([0, 1, 2])('with %d domains', (domains) => {
  let stdev = 0;

  beforeEach(() => {
    c = new Client();
    ioas = c.ioas();
    for (let i = 0; i < domains; i++) ({ stdev } = c.device(ioas));
    return () => {
      c.close();
      expect(c.world.iommu.driver.live).toEqual({ domains: 0, viommus: 0, queues: 0, devices: 0, blocksLeft: 0 });
      expect(c.world.pins.pages).toBe(0);
    };
  });

  test('pins, twice, and under a domain that comes and goes', () => {
    const fd = c.createAccess(ioas, abi.ACCESS_NEEDS_PINS);
    const own = domains > 0 ? 1 : 0;
    for (let pages = 1n; pages < 16n; pages++) {
      expect(c.mapErrno(ioas, c.buffer, BUFFER_SIZE, START)).toBe('OK');
      expect(c.unpin(fd, c.pin(fd, START, pages * P, c.buffer))).toBe('OK');
      expect(c.checkRefs(c.buffer, BUFFER_SIZE, own)).toBe('OK');
      const [a, b] = [c.pin(fd, START, pages * P, c.buffer), c.pin(fd, START, pages * P, c.buffer)];
      expect(c.checkRefs(c.buffer, pages * P, 1)).toBe('OK');
      expect([c.unpin(fd, b), c.unpin(fd, a), c.unpin(fd, a)]).toEqual(['OK', 'OK', 'ENOENT']);
      const item = c.pin(fd, START, pages * P, c.buffer);
      const { stdev: extra, hwpt } = c.device(ioas);
      expect(c.checkMap(hwpt, START, BUFFER_SIZE, c.buffer)).toBe('OK');
      expect(c.checkRefs(c.buffer, BUFFER_SIZE, 1)).toBe('OK');
      expect(c.destroy(extra)).toBe('OK');
      expect(c.unpin(fd, item)).toBe('OK');
      expect(c.unmap(ioas, START, BUFFER_SIZE)).toBe('OK');
    }
    c.process.closeFd(fd);
  });

  test('a domain that goes while a part is pinned', () => {
    const buffer = c.process.alloc(4 << 20);
    expect(c.mapErrno(ioas, buffer, 4n << 20n, START)).toBe('OK');
    const fd = c.createAccess(ioas, abi.ACCESS_NEEDS_PINS);
    const item = c.pin(fd, START + P, P, buffer + P);
    if (domains > 0) expect(c.destroy(stdev)).toBe('OK');
    expect(c.checkRefs(buffer + P, P, 1)).toBe('OK');
    expect(c.checkRefs(buffer, P, domains === 2 ? 1 : 0)).toBe('OK');
    expect(c.unpin(fd, item)).toBe('OK');
    c.process.closeFd(fd);
  });

  test('an unmap asks the access to let go', () => {
    const fd = c.createAccess(ioas, abi.ACCESS_NEEDS_PINS);
    expect(c.mapErrno(ioas, c.buffer, BUFFER_SIZE, START)).toBe('OK');
    const item = c.pin(fd, START, BUFFER_SIZE, c.buffer);
    expect(c.unmap(ioas, START, BUFFER_SIZE)).toBe('OK');
    expect(c.unpin(fd, item)).toBe('ENOENT');
    c.process.closeFd(fd);
  });

  test.each([0, abi.ACCESS_RW_SLOW_PATH])('copies around a page boundary, flags %d', (flags) => {
    const fd = c.createAccess(ioas);
    const iova = (domains > 0 ? START : 0n) + abi.MOCK_PAGE_SIZE;
    expect(c.mapErrno(ioas, c.buffer, BUFFER_SIZE, iova)).toBe('OK');
    const whole = Uint8Array.from({ length: Number(BUFFER_SIZE) }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    c.process.write(c.buffer, whole);
    const temp = c.scratch + 0x2000n;
    for (let at = P - 50n; at < P + 50n; at += 7n) {
      for (let length = 1n; length < 64n; length += 5n) {
        expect(c.rw(fd, iova + at, length, temp, flags)).toBe('OK');
        const read = new Uint8Array(Number(length));
        c.process.read(temp, read);
        expect(read).toEqual(whole.slice(Number(at), Number(at + length)));
        const fresh = read.map((byte) => byte ^ 0x5a);
        c.process.write(temp, fresh);
        expect(c.rw(fd, iova + at, length, temp, flags | abi.ACCESS_RW_WRITE)).toBe('OK');
        whole.set(fresh, Number(at));
      }
    }
    const all = new Uint8Array(Number(BUFFER_SIZE));
    const target = c.process.alloc(Number(BUFFER_SIZE));
    expect(c.rw(fd, iova, BUFFER_SIZE, target, flags)).toBe('OK');
    c.process.read(target, all);
    expect(all).toEqual(whole);
    c.process.closeFd(fd);
  });

  test('memory of a process that exited', () => {
    const child = c.world.process();
    const address = child.alloc(Number(BUFFER_SIZE));
    const arg = c.place(
      uapi.IOAS_MAP.encode({ ioas_id: ioas, user_va: address, length: BUFFER_SIZE, iova: START, flags: 7 }),
    );
    const at = child.alloc(4096);
    const bytes = new Uint8Array(40);
    c.process.read(arg, bytes);
    child.write(at, bytes);
    expect(c.ioctl(0x3b85, at, child)).toBe('OK');
    child.gone = true;
    expect(c.deviceErrno(ioas)).toBe(domains > 0 ? 'OK' : 'EFAULT');
  });

  test('another IOAS under pins, and copies of pinned pages', () => {
    const [first, second] = [c.ioas(), c.ioas()];
    const iova = c.map(first, c.buffer, BUFFER_SIZE);
    const fd = c.createAccess(first, abi.ACCESS_NEEDS_PINS);
    const copy = { dst_ioas_id: ioas, dst_iova: START, length: BUFFER_SIZE, flags: MAP_FLAG.FIXED | MAP_FLAG.WRITE };
    const item = c.pin(fd, iova, BUFFER_SIZE, c.buffer);
    expect(c.errno(uapi.IOAS_COPY, { ...copy, src_ioas_id: first, src_iova: iova })).toBe('OK');
    expect(c.checkRefs(c.buffer, BUFFER_SIZE, 1)).toBe('OK');
    const iova2 = c.map(second, c.buffer, BUFFER_SIZE);
    const replace = (id: number) =>
      c.errno(abi.ACCESS_REPLACE_IOAS, { op: abi.TEST_OP.ACCESS_REPLACE_IOAS, id: fd, ioas_id: id });
    expect(replace(first)).toBe('OK');
    expect(replace(999)).toBe('ENOENT');
    expect(c.destroy(first)).toBe('EBUSY');
    expect(replace(second)).toBe('OK');
    expect(c.unpin(fd, item)).toBe('ENOENT');
    expect(c.unmap(ioas, START, BUFFER_SIZE)).toBe('OK');
    expect(c.destroy(first)).toBe('OK');
    expect(c.pin(fd, iova2, BUFFER_SIZE, c.buffer)).toBe(1);
    expect(c.errno(uapi.IOAS_COPY, { ...copy, src_ioas_id: second, src_iova: iova2 })).toBe('OK');
    expect(c.unpin(fd, 1)).toBe('OK');
    c.process.closeFd(fd);
    expect(c.destroy(second)).toBe('OK');
  });
});

describe('refusals', () => {
  let pins: number;
  let plain: number;
  let readOnly: bigint;

  beforeEach(() => {
    c = new Client();
    ioas = c.ioas();
    pins = c.createAccess(ioas, abi.ACCESS_NEEDS_PINS);
    plain = c.createAccess(ioas);
    expect(c.mapErrno(ioas, c.buffer, 2n * P, START)).toBe('OK');
    readOnly = c.map(ioas, c.buffer, P, MAP_FLAG.READ);
  });

  test('of pins', () => {
    expect(c.pin(pins, START, (16n << 20n) + 1n, 0n)).toBe('ENOMEM');
    expect(c.pin(pins, START, P, 0n, 2)).toBe('EOPNOTSUPP');
    expect(c.pin(99, START, P, 0n)).toBe('EBADFD');
    expect(c.pin(0xffff_ffff, START, P, 0n)).toBe('EBADFD');
    expect(c.pin(plain, START, P, 0n)).toBe('EOPNOTSUPP');
    expect(c.pin(pins, START, 0n, 0n)).toBe('EINVAL');
    expect(c.pin(pins, TOP, 2n, 0n)).toBe('EOVERFLOW');
    expect(c.pin(pins, START + P, 2n * P, 0n)).toBe('ENOENT');
    expect(c.pin(pins, readOnly, P, 0n, abi.ACCESS_PAGES_WRITE)).toBe('EPERM');
    expect(c.pin(pins, START, P, c.buffer + P)).toBe('EBADE');
    expect(c.pin(pins, START, P, 1n << 60n)).toBe('EFAULT');
    expect(c.world.pins.pages).toBe(0);
    expect(c.pin(pins, START, 2n * P, 0n, abi.ACCESS_PAGES_WRITE)).toBe(0);
    expect(c.pin(pins, START + 5n, P, c.buffer + 5n)).toBe(1);
    expect(c.unpin(plain, 0)).toBe('ENOENT');
    expect(c.unpin(99, 0)).toBe('EBADFD');
  });

  test('of copies', () => {
    const at = c.scratch + 0x2000n;
    expect(c.rw(plain, START, (16n << 20n) + 1n, at)).toBe('ENOMEM');
    expect(c.rw(plain, START, 1n, at, 2)).toBe('EOPNOTSUPP');
    expect(c.rw(99, START, 1n, at)).toBe('EBADFD');
    expect(c.rw(plain, START, 0n, at)).toBe('EINVAL');
    expect(c.rw(plain, START, 1n, 1n << 60n)).toBe('EFAULT');
    expect(c.rw(plain, 0x10_0000_0000n, 1n, 1n << 60n, abi.ACCESS_RW_WRITE)).toBe('EFAULT');
    expect(c.rw(plain, START + 2n * P, 1n, at)).toBe('ENOENT');
    expect(c.rw(plain, readOnly, 1n, at, abi.ACCESS_RW_WRITE)).toBe('EPERM');
    expect(c.rw(plain, readOnly, 1n, at)).toBe('OK');
  });

  test('of accesses', () => {
    const create = (id: number, flags: number) =>
      c.errno(abi.CREATE_ACCESS, { op: abi.TEST_OP.CREATE_ACCESS, id, flags });
    const before = c.file.context.table.size;
    expect(create(ioas, 2)).toBe('EOPNOTSUPP');
    expect(create(99, 0)).toBe('ENOENT');
    expect(c.file.context.table.size).toBe(before);
    const other = c.ioas();
    expect(c.mapErrno(other, c.buffer + 2048n, P, 2048n)).toBe('OK');
    expect(create(other, 1)).toBe('EADDRINUSE');
    const access = c.file.context.table.objects.find(({ type }) => type === 'access')!;
    expect(c.destroy(access.id)).toBe('EBUSY');
  });

  test('a file that outlives its context keeps it', () => {
    const item = c.pin(pins, START, P, c.buffer);
    c.close();
    expect(c.file.context.closed).toBe(false);
    expect(c.world.pins.pages).toBe(1);
    expect(item).toBe(0);
    c.process.closeFd(plain);
    c.process.closeFd(pins);
    expect(c.file.context.closed).toBe(true);
    expect(c.world.pins.pages).toBe(0);
  });
});
