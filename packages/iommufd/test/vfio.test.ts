import { describe, expect, test } from 'vitest';
import { compatIoasCreate, IommufdFile, uapi, VfioDeviceFile, vfio } from '../src/index.ts';
import { Bench, errnoName, NOTHING_LEFT } from './support/bench.ts';

const TOP = 2n ** 64n - 1n;
const GET_API_VERSION = 0x3b64;
const CHECK_EXTENSION = 0x3b65;
const SET_IOMMU = 0x3b66;
const GET_INFO = 0x3b70;
const MAP_DMA = 0x3b71;
const UNMAP_DMA = 0x3b72;

function withCompat() {
  const bench = new Bench();
  const direct = (request: number, arg: bigint) => {
    const result = bench.file.ioctl(request, arg, bench.process);
    return result < 0 ? errnoName(result) : result;
  };
  const va = bench.process.alloc(1 << 20);
  const map = (iova: bigint, size: bigint, extra = {}) =>
    errnoName(bench.raw(MAP_DMA, vfio.TYPE1_DMA_MAP.encode({ argsz: 32, flags: 3, vaddr: va, iova, size, ...extra })));
  const unmap = (iova: bigint, size: bigint, extra = {}) => {
    const result = bench.raw(UNMAP_DMA, vfio.TYPE1_DMA_UNMAP.encode({ argsz: 24, iova, size, ...extra }));
    const bytes = new Uint8Array(24);
    bench.process.read(bench.scratch, bytes);
    return result < 0 ? errnoName(result) : vfio.TYPE1_DMA_UNMAP.decode(bytes).size;
  };
  return { bench, direct, map, unmap, va };
}

describe('container', () => {
  test('without an IOAS', () => {
    const { bench, direct, map, unmap } = withCompat();
    expect(direct(GET_API_VERSION, 0xdead_beefn)).toBe(0);
    expect([1n, 3n, 9n].map((type) => direct(CHECK_EXTENSION, type))).toEqual([1, 1, 1]);
    expect([2n, 5n, 6n, 7n, 8n, 10n, 99n].map((type) => direct(CHECK_EXTENSION, type))).toEqual(new Array(7).fill(0));
    expect(direct(CHECK_EXTENSION, 4n)).toBe('ENODEV');
    expect(direct(SET_IOMMU, 1n)).toBe('ENODEV');
    expect(direct(SET_IOMMU, 6n)).toBe('EINVAL'); // nesting
    expect(map(0n, 4096n)).toBe('ENODEV');
    expect(unmap(0n, 4096n)).toBe('ENODEV');
    expect(map(0n, 4096n, { argsz: 31 })).toBe('EINVAL');
    expect(map(0n, 4096n, { flags: 4 })).toBe('EINVAL');
    expect(direct(MAP_DMA, 8n)).toBe('EFAULT');
    expect(direct(0x3b73, 0n)).toBe('ENOTTY');
    expect(direct(0x3b75, 0n)).toBe('ENOTTY'); // dirty pages
    expect(compatIoasCreate(bench.context)).toBe(2);
    expect(compatIoasCreate(bench.context)).toBe(2);
    expect(direct(SET_IOMMU, 3n)).toBe(0);
    bench.ok(uapi.DESTROY, { id: 2 });
    expect(direct(SET_IOMMU, 3n)).toBe('ENODEV');
  });

  test('map and unmap under type 1 v2', () => {
    const { bench, direct, map, unmap } = withCompat();
    const id = compatIoasCreate(bench.context);
    bench.ok(uapi.HWPT_ALLOC, { dev_id: 1, pt_id: id });
    expect(direct(SET_IOMMU, 3n)).toBe(0);
    expect(map(0x10_0000n, 0x4000n)).toBe('OK');
    expect(bench.process.accounts).toMatchObject({ user: { pages: 0n }, process: { pages: 4n } });
    expect(map(0x10_0000n, 0x4000n)).toBe('EEXIST');
    expect(unmap(0x20_0000n, 0x1000n)).toBe(0n); // nothing there is fine
    expect(unmap(0x10_0000n, 0x1000n)).toBe('ENOENT');
    expect(unmap(0x10_0000n, 0n)).toBe('EINVAL');
    expect(unmap(TOP, 2n)).toBe('EOVERFLOW');
    expect(unmap(0x10_0000n, 0x1000n, { flags: 1 })).toBe('EINVAL'); // the old dirty bitmap
    expect(unmap(0n, 1n, { flags: 2 })).toBe('EINVAL');
    expect(unmap(0n, 0n, { flags: 2 })).toBe(0x4000n);
    expect(unmap(0n, 0n, { flags: 2 })).toBe(0n);
  });

  test('type 1 cuts mappings', () => {
    const { bench, direct, map, unmap } = withCompat();
    const id = compatIoasCreate(bench.context);
    bench.ok(uapi.HWPT_ALLOC, { dev_id: 1, pt_id: id });
    expect(direct(SET_IOMMU, 1n)).toBe(0);
    expect(map(0x10_0000n, 0x8000n)).toBe('OK');
    expect(unmap(0x10_2800n, 0x1000n)).toBe('EINVAL');
    expect(unmap(0x10_2000n, 0x1000n)).toBe(0x1000n);
    expect(bench.process.pinnedPages).toBe(7n);
    expect(unmap(0x0n, 0x10_1000n)).toBe(0x1000n);
    expect(unmap(0x10_0000n, 0x10_0000n)).toBe(0x6000n);
    expect(bench.close()).toEqual(NOTHING_LEFT);
  });

  test('coherency of the whole IOAS', () => {
    const bench = new Bench({ coherent: true });
    const id = compatIoasCreate(bench.context);
    bench.bound.attach(id);
    expect(bench.file.ioctl(CHECK_EXTENSION, 4n, bench.process)).toBe(1);
  });

  test('information, as much as fits', () => {
    const { bench } = withCompat();
    const id = compatIoasCreate(bench.context);
    bench.ok(uapi.HWPT_ALLOC, { dev_id: 1, pt_id: id });
    const info = (argsz: number) => {
      bench.process.write(bench.scratch, new Uint8Array(128).fill(0xee));
      const result = bench.raw(GET_INFO, vfio.TYPE1_INFO.encode({ argsz }).subarray(0, 16));
      const bytes = new Uint8Array(128);
      bench.process.read(bench.scratch, bytes);
      return result < 0 ? errnoName(result) : Buffer.from(bytes).toString('hex');
    };
    expect(info(15)).toBe('EINVAL');
    const untouched = (bytes: number) => 'ee'.repeat(bytes);
    // argsz 72 = 24 + 16 (12 padded) + 16 + 16; flags page sizes and capabilities
    const head = '48000000' + '03000000' + '0010000000000000';
    expect(info(16)).toBe(head + untouched(112));
    expect(info(24)).toBe(`${head}0000000000000000${untouched(104)}`);
    const avail = (next: string) => `03000100${next}ffff0000`;
    const ranges = '0100010000000000' + '0100000000000000' + '0000000000000000' + 'ffffffffffff0000';
    expect(info(40)).toBe(`${head}0000000000000000${avail('28000000')}${untouched(92)}`);
    const whole = `${head}1800000000000000${avail('28000000')}eeeeeeee${ranges}`;
    expect(info(72)).toBe(whole + untouched(56));
    expect(info(128)).toBe(whole + untouched(56));
  });
});

describe('device', () => {
  const { BIND_IOMMUFD, ATTACH_IOMMUFD_PT, DETACH_IOMMUFD_PT } = vfio;

  function withFile() {
    const bench = new Bench({ maxPasids: 1 << 20 });
    const device = new VfioDeviceFile(bench.addDevice());
    const fd = bench.process.open(new IommufdFile({ context: bench.context }));
    const call = (request: number, bytes: Uint8Array) => {
      bench.process.write(bench.scratch, bytes);
      return errnoName(device.ioctl(request, bench.scratch, bench.process));
    };
    const word = (at: number) => {
      const bytes = new Uint8Array(4);
      bench.process.read(bench.scratch + BigInt(at), bytes);
      return new DataView(bytes.buffer).getUint32(0, true);
    };
    const bind = (values = {}) => call(0x3b76, BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd, ...values }));
    const attach = (pt_id: number, values = {}) =>
      call(0x3b77, ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id, ...values }));
    const detach = (values = {}) => call(0x3b78, DETACH_IOMMUFD_PT.encode({ argsz: 8, ...values }));
    return { bench, device, bind, attach, detach, word, call };
  }

  test('bind', () => {
    const { bench, device, bind, attach, word, call } = withFile();
    expect(attach(1)).toBe('EINVAL'); // not bound
    expect(call(0x3b6b, new Uint8Array(8))).toBe('EINVAL');
    expect(bind({ argsz: 15 })).toBe('EINVAL');
    expect(bind({ flags: 1 })).toBe('EINVAL');
    expect(bind({ iommufd: -1 })).toBe('EINVAL');
    expect(bind({ iommufd: 99 })).toBe('EBADF');
    expect(bind({ iommufd: bench.process.open(null) })).toBe('EBADFD');
    expect(bind({ iommufd: bench.process.open(device) })).toBe('EBADFD');
    expect(bind()).toBe('OK');
    expect(word(12)).toBe(2);
    expect(bind()).toBe('EINVAL');
    expect(call(0x3b6b, new Uint8Array(8))).toBe('ENOTTY');
    expect(bench.errno(uapi.DESTROY, { id: 2 })).toBe('EBUSY');
    device.close();
    expect(bench.errno(uapi.DESTROY, { id: 2 })).toBe('ENOENT');
  });

  test('another file owns the group', () => {
    const { bench, device } = withFile();
    const other = new Bench();
    const fd = bench.process.open(other.file);
    const twin = new VfioDeviceFile(device.device);
    const bind = (file: VfioDeviceFile, iommufd: number) => {
      bench.process.write(bench.scratch, BIND_IOMMUFD.encode({ argsz: 16, iommufd }));
      return errnoName(file.ioctl(0x3b76, bench.scratch, bench.process));
    };
    expect(bind(device, fd)).toBe('OK');
    expect(bind(twin, bench.process.open(bench.file))).toBe('EPERM');
  });

  test('attach twice means replace; the id of the HWPT comes back', () => {
    const { bench, bind, attach, detach, word, device } = withFile();
    bind();
    const [a, b] = [1, 2].map(() => bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id) as [number, number];
    expect(attach(99)).toBe('ENOENT');
    expect(attach(2)).toBe('EINVAL');
    expect(attach(a, { argsz: 11 })).toBe('EINVAL');
    expect(attach(a, { flags: 2 })).toBe('EINVAL');
    expect(attach(a, { flags: 1 })).toBe('EINVAL'); // argsz does not reach the PASID
    expect(attach(a)).toBe('OK');
    expect(word(8)).toBe(5);
    expect(attach(b)).toBe('OK');
    expect(word(8)).toBe(6);
    expect(bench.errno(uapi.DESTROY, { id: 5 })).toBe('ENOENT'); // automatic, and gone
    expect(detach({ argsz: 7 })).toBe('EINVAL');
    expect(detach()).toBe('OK');
    expect(detach()).toBe('OK');
    expect(device.device.domain.kind).toBe('blocked');
  });

  test('PASIDs', () => {
    const { bench, bind, attach, detach, device } = withFile();
    bind();
    const ioas = bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id;
    const [a, b] = [1, 2].map(() => bench.ok(uapi.HWPT_ALLOC, { flags: 8, dev_id: 2, pt_id: ioas }).out_hwpt_id) as [
      number,
      number,
    ];
    const pasid = (value: number) => ({ argsz: 16, flags: 1, pasid: value });
    expect(attach(ioas, pasid(5))).toBe('EINVAL'); // automatic HWPTs do not go with PASIDs
    expect(attach(a, pasid(1 << 20))).toBe('EINVAL');
    expect(attach(a, pasid(5))).toBe('OK');
    expect(attach(b, pasid(5))).toBe('OK');
    expect(device.object?.hwpt(5)?.id).toBe(b);
    expect(attach(bench.ok(uapi.HWPT_ALLOC, { dev_id: 2, pt_id: ioas }).out_hwpt_id)).toBe('EINVAL');
    expect(detach({ argsz: 11, flags: 1, pasid: 5 })).toBe('EINVAL');
    expect(detach({ argsz: 12, flags: 1, pasid: 6 })).toBe('OK');
    expect(device.device.group.pasids).toEqual([5]);
    expect(detach({ argsz: 12, flags: 1, pasid: 5 })).toBe('OK');
    expect(device.device.group.pasids).toEqual([]);
  });

  test('a reply that cannot be written undoes bind and attach', () => {
    const { bench, device } = withFile();
    const pa = BigInt(bench.pages.alloc(4096));
    bench.process.map(0x10_0000n, 4096n, pa, false);
    const readOnly = (request: number, bytes: Uint8Array) => {
      bench.memory.writeBytes(pa, bytes);
      return errnoName(device.ioctl(request, 0x10_0000n, bench.process));
    };
    const fd = bench.process.open(bench.file);
    expect(readOnly(0x3b76, BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd }))).toBe('EFAULT');
    expect([device.object, bench.context.table.size]).toEqual([null, 1]);
    bench.process.write(bench.scratch, BIND_IOMMUFD.encode({ argsz: 16, iommufd: fd }));
    expect(errnoName(device.ioctl(0x3b76, bench.scratch, bench.process))).toBe('OK');
    const ioas = bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id;
    expect(readOnly(0x3b77, ATTACH_IOMMUFD_PT.encode({ argsz: 12, pt_id: ioas }))).toBe('EFAULT');
    expect(device.device.domain.kind).toBe('blocked');
    expect(bench.context.table.size).toBe(3);
    device.close();
    expect(bench.close()).toEqual(NOTHING_LEFT);
  });

  test('a bound device keeps the closed context open', () => {
    const { bench, device, bind } = withFile();
    bench.bound.unbind();
    bind();
    bench.file.close();
    expect(bench.context.closed).toBe(false);
    device.close();
    expect(bench.context.closed).toBe(true);
  });
});
