/** Layouts, by bytes put at the offsets of the kernel's header by hand. */
import { Struct } from '@iommukit/iommufd';
import { expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { Client, START } from './support/client.ts';

/** Byte i holds i+1, so a field's value tells where it lies. */
const RULER = Uint8Array.from({ length: 72 }, (_, i) => i + 1);
const u32 = (at: number): number => new DataView(RULER.buffer).getUint32(at, true);
const u64 = (at: number): bigint => new DataView(RULER.buffer).getBigUint64(at, true);

test('every operation reads its fields where the header has them', () => {
  const common = { size: 0x04030201, op: 0x08070605, id: 0x0c0b0a09, __reserved: 0x100f0e0d };
  const expected: Record<string, Record<string, number | bigint>> = {
    add_reserved: { start: u64(16), length: u64(24) },
    mock_domain_flags: { out_stdev_id: u32(16), out_hwpt_id: u32(20), out_idev_id: u32(24), dev_flags: u32(28) },
    mock_domain_replace: { pt_id: u32(16) },
    check_map: { iova: u64(16), length: u64(24), uptr: u64(32) },
    check_refs: { length: u64(16), uptr: u64(24), refs: u32(32) },
    create_access: { out_access_fd: u32(16), flags: u32(20) },
    destroy_access_pages: { access_pages_id: u32(16) },
    access_pages: { flags: u32(16), out_access_pages_id: u32(20), iova: u64(24), length: u64(32), uptr: u64(40) },
    access_rw: { iova: u64(16), length: u64(24), uptr: u64(32), flags: u32(40) },
    memory_limit: { limit: u32(16) },
    access_replace_ioas: { ioas_id: u32(16) },
    dirty: {
      flags: u32(16),
      iova: u64(24),
      length: u64(32),
      page_size: u64(40),
      uptr: u64(48),
      out_nr_dirty: u64(56),
    },
    check_slot: { slot: u32(16), value: u32(20) },
    trigger_iopf: { dev_id: u32(16), pasid: u32(20), grpid: u32(24), perm: u32(28), addr: u64(32) },
    trigger_vevent: { dev_id: u32(16) },
    pasid_attach: { pasid: u32(16), pt_id: u32(20) },
    pasid_detach: { pasid: u32(16) },
    pasid_check: { pasid: u32(16), hwpt_id: u32(20) },
    dmabuf_get: { length: u32(16), open_flags: u32(20) },
    dmabuf_revoke: { dmabuf_fd: u32(16), revoked: u32(20) },
  };
  const layouts: Struct[] = [];
  for (const value of Object.values<unknown>(abi)) if (value instanceof Struct) layouts.push(value);
  const seen = layouts.filter(({ name }) => name.startsWith('iommu_test_cmd.'));
  for (const layout of seen) {
    expect(layout.size).toBe(72);
    expect(layout.decode(RULER)).toEqual({ ...common, ...expected[layout.name.slice('iommu_test_cmd.'.length)] });
  }
  expect(seen.length).toBe(Object.keys(expected).length);
});

test("the vendor's own formats", () => {
  expect([...abi.HW_INFO.encode({ test_reg: abi.HW_INFO_REGISTER })]).toEqual([0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde]);
  expect([...abi.VIOMMU_EVENT.encode({ virt_id: 0x99 })]).toEqual([0x99, 0, 0, 0]);
  expect(abi.VIOMMU_SELFTEST.decode(RULER)).toEqual({
    in_data: 0x04030201,
    out_data: 0x08070605,
    out_mmap_offset: 0x100f0e0d0c0b0a09n,
    out_mmap_length: 0x1817161514131211n,
  });
  const sizes = [abi.HWPT_SELFTEST, abi.HWPT_INVALIDATE, abi.VIOMMU_INVALIDATE, abi.VIOMMU_SELFTEST];
  expect(sizes.map(({ size }) => size)).toEqual([8, 8, 12, 24]);
});

test('the envelope: 68 bytes at least, zeros beyond 72, known operations only', () => {
  const c = new Client();
  const send = (size: number, op: number, request = 0x3ba0, last = 0) => {
    const bytes = new Uint8Array(80);
    new DataView(bytes.buffer).setUint32(0, size, true);
    new DataView(bytes.buffer).setUint32(4, op, true);
    new DataView(bytes.buffer).setUint32(16, 65536, true);
    bytes[72] = last;
    return c.raw(request, bytes);
  };
  expect(send(67, 9)).toBe(-22);
  expect(send(68, 9)).toBe(0);
  expect(send(80, 9)).toBe(0);
  expect(send(80, 9, 0x3ba0, 1)).toBe(-7);
  for (const op of [0, 24, 0xffff_ffff]) expect(send(72, op)).toBe(-95);
  expect(send(72, 9, 0x3ba1)).toBe(-25);
  expect(send(72, 9, 0x3b9f)).toBe(-25);
  expect(send(72, 9, 0xc0483ba0)).toBe(-25);
  expect(c.ioctl(0x3ba0, 0n)).toBe('EFAULT');
});

test('a memory limit holds at least one entry', () => {
  const c = new Client();
  const set = (limit: number) => c.errno(abi.MEMORY_LIMIT, { op: abi.TEST_OP.SET_TEMP_MEMORY_LIMIT, limit });
  expect([set(11), set(12)]).toEqual(['EINVAL', 'OK']);
});

test('reservations', () => {
  const c = new Client();
  const ioas = c.ioas();
  expect(c.reserve(ioas, 0n, 0n)).toBe('EINVAL');
  expect(c.reserve(ioas, 0xffff_ffff_ffff_ffffn, 2n)).toBe('EOVERFLOW');
  expect(c.reserve(999, 0n, 1n)).toBe('ENOENT');
  expect(c.mapErrno(ioas, c.buffer, 4096n, 0x8000n)).toBe('OK');
  expect(c.reserve(ioas, 0x8fffn, 1n)).toBe('EADDRINUSE');
  expect(c.reserve(ioas, 0x9000n, 1n)).toBe('OK');
});

test('what a reply that cannot be written leaves behind: nothing', () => {
  const c = new Client();
  const ioas = c.ioas();
  const readOnly = c.process.alloc(4096, false);
  const write = (struct: Struct, values: object): string => {
    c.world.memory.writeBytes(c.process.pagesOf(readOnly, 4096n)[0]!.pa, struct.encode(values as never));
    return c.ioctl(0x3ba0, readOnly);
  };
  expect(write(abi.MOCK_DOMAIN, { op: abi.TEST_OP.MOCK_DOMAIN, id: ioas })).toBe('EFAULT');
  expect(write(abi.CREATE_ACCESS, { op: abi.TEST_OP.CREATE_ACCESS, id: ioas })).toBe('EFAULT');
  expect(c.file.context.table.size).toBe(1);
  expect(c.world.iommu.driver.live.devices).toBe(0);
  const iova = START;
  expect(c.mapErrno(ioas, c.buffer, 4096n, iova)).toBe('OK');
  const fd = c.createAccess(ioas, abi.ACCESS_NEEDS_PINS);
  const pin = { op: abi.TEST_OP.ACCESS_PAGES, id: fd, iova, length: 4096n };
  expect(write(abi.ACCESS_PAGES, pin)).toBe('EFAULT');
  expect(c.world.pins.pages).toBe(0);
  const { stdev, idev } = c.device(ioas, abi.DEVICE_PASID);
  const hwpt = c.hwpt(idev, ioas, { flags: 8 }).id;
  expect(c.replace(stdev, hwpt)).toBe('OK');
  expect(write(abi.PASID_ATTACH, { op: abi.TEST_OP.PASID_ATTACH, id: stdev, pasid: 5, pt_id: hwpt })).toBe('EFAULT');
  expect(c.errno(abi.PASID_CHECK, { op: abi.TEST_OP.PASID_CHECK_HWPT, id: stdev, pasid: 5 })).toBe('OK');
});
