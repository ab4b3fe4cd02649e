import { IommuSystem, type VendorPlugin } from '@iommukit/core';
import { intelVtd } from '@iommukit/intel-vtd';
import { Machine, PageAllocator } from '@iommukit/machine';
import { expect, test } from 'vitest';
import {
  DeviceObject,
  type HwptPaging,
  Iommufd,
  IommufdFile,
  SimpleProcess,
  type UserMemory,
  uapi,
} from '../src/index.ts';
import { Bench } from './support/bench.ts';
import type { FakePaging } from './support/fake-driver.ts';

/** Processor time, so that a busy machine does not show; limits leave room for slow ones. */
const print = (line: string): void => void process.stderr.write(`${line}\n`);

/** Microseconds a run. */
function timed(runs: number, run: (i: number) => void): number {
  const start = process.cpuUsage();
  for (let i = 0; i < runs; i++) run(i);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / runs;
}

/** User memory that is there wherever one looks, physically contiguous. */
const everywhere: UserMemory = {
  accountFor: (mode) => ({ mode, charge() {}, uncharge() {} }),
  read: () => true,
  write: () => true,
  pin: (address, length) => [{ pa: address, length }],
  unpin() {},
};

const GIB = 1n << 30n;
const RANGES: readonly [string, bigint][] = [
  ['4K', 1n << 12n],
  ['2M', 1n << 21n],
  ['1G', GIB],
];

/** IOMMUKIT_PERF_AREAS=1000000 for the full measure; that takes half a minute. */
const MOST = Number(process.env.IOMMUKIT_PERF_AREAS ?? 100_000);

test('map and unmap stay cheap however many areas there are', { timeout: 240_000 }, () => {
  const cost = new Map<number, number>();
  for (const areas of [1, 1000, MOST]) {
    const bench = new Bench({ geometry: { start: 0n, last: (1n << 57n) - 1n } });
    const iommufd = new Iommufd();
    const ioas = iommufd.ioasAlloc().id;
    const device = iommufd.bind(bench.addDevice());
    iommufd.hwptAlloc(device.id, ioas);
    const map = (iova: bigint, length: bigint) =>
      iommufd.map(everywhere, { flags: 7, ioasId: ioas, userVa: 0x4000_0000n, length, iova });
    const filled = timed(areas, (i) => map(4n * GIB * BigInt(i), 4096n));
    const each = RANGES.map(([name, length]) => {
      const micros = timed(2000, (i) => {
        const iova = 4n * GIB * BigInt((i * 7919) % areas) + 2n * GIB;
        map(iova, length);
        iommufd.unmap(ioas, iova, length);
      });
      return `${name} ${micros.toFixed(1)} µs`;
    });
    const placed = timed(2000, () => {
      const params = { flags: 6, ioasId: ioas, userVa: 0x4000_0000n, length: 1n << 21n, iova: 0n };
      iommufd.unmap(ioas, iommufd.map(everywhere, params), 1n << 21n);
    });
    cost.set(
      areas,
      timed(2000, (i) => {
        const iova = 4n * GIB * BigInt((i * 7919) % areas) + 2n * GIB;
        map(iova, 4096n);
        iommufd.unmap(ioas, iova, 4096n);
      }),
    );
    print(
      `${areas} areas: map+unmap ${each.join(', ')}, placed 2M ${placed.toFixed(1)} µs; filling ${filled.toFixed(1)} µs each`,
    );
  }
  expect(cost.get(MOST)! / cost.get(1)!).toBeLessThan(20);
});

test('GET_DIRTY_BITMAP over 1 TiB of 2M pages', { timeout: 120_000 }, () => {
  const bench = new Bench({ dirty: true });
  const { out_ioas_id: ioas } = bench.ok(uapi.IOAS_ALLOC, {});
  const { out_hwpt_id } = bench.ok(uapi.HWPT_ALLOC, { flags: 2, dev_id: 1, pt_id: ioas });
  const domain = bench.context.get<HwptPaging>(out_hwpt_id, 'hwpt-paging').domain;
  const pages = 1 << 19;
  const ops = domain.ops as FakePaging;
  const leaves = Array.from({ length: pages }, (_, i) => BigInt(i) << 21n);
  ops.readAndClearDirty = (_iova, _size, _keep, report) => {
    for (const leaf of leaves) report(leaf, 1n << 21n);
  };
  bench.process.map(1n << 41n, 1n << 40n, 1n << 41n);
  bench.ok(uapi.IOAS_MAP, { ioas_id: ioas, flags: 7, user_va: 1n << 41n, length: 1n << 40n, iova: 0n });
  const data = bench.process.alloc(pages / 8);
  const ask = () =>
    bench.ok(uapi.HWPT_GET_DIRTY_BITMAP, { hwpt_id: out_hwpt_id, length: 1n << 40n, page_size: 1n << 21n, data });
  ask();
  const millis = Math.min(...[1, 2, 3].map(() => timed(1, ask) / 1000));
  print(`1 TiB of dirty 2M pages: ${millis.toFixed(1)} ms`);
  expect(millis).toBeLessThan(150);
});

test('map and unmap by bytes over a 4-level table, driver and invalidation included', { timeout: 120_000 }, () => {
  const machine = new Machine();
  const plugin: VendorPlugin = intelVtd;
  const unit = machine.addUnit(plugin, plugin.configs[0]);
  const system = new IommuSystem();
  system.addUnit(unit.driver);
  const device = system.addDevice(unit.driver, unit.endpoint({ requesterIds: [8] }).description);
  const file = new IommufdFile();
  const bound = DeviceObject.create(file.context, device);
  const user = new SimpleProcess(machine.memory, new PageAllocator(machine.memory, 1n << 32n, (1n << 33n) - 1n));
  const scratch = user.alloc(4096);
  const memory = user.alloc(1 << 21);
  user.write(scratch, uapi.IOAS_ALLOC.encode({}));
  expect(file.ioctl(0x3b81, scratch, user)).toBe(0);
  bound.attach(2);
  for (const [name, length] of RANGES.slice(0, 2)) {
    const map = uapi.IOAS_MAP.encode({ flags: 7, ioas_id: 2, user_va: memory, length, iova: 0x4000_0000n });
    const unmap = uapi.IOAS_UNMAP.encode({ ioas_id: 2, iova: 0x4000_0000n, length });
    const round = (): void => {
      user.write(scratch, map);
      if (file.ioctl(0x3b85, scratch, user) !== 0) throw new Error('map');
      user.write(scratch, unmap);
      if (file.ioctl(0x3b86, scratch, user) !== 0) throw new Error('unmap');
    };
    timed(2000, round);
    const micros = timed(5000, round);
    print(`map+unmap by bytes over VT-d, ${name}: ${micros.toFixed(1)} µs`);
    expect(micros).toBeLessThan(100);
  }
});
