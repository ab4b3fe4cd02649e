/** Rubbish answers an errno and nothing else; a failure anywhere leaves nothing behind. */
import { uapi } from '@iommukit/iommufd';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { Client, P, START } from './support/client.ts';

/** Each run opens a file and makes up to eight calls. */
const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const NOTHING = { domains: 0, viommus: 0, queues: 0, devices: 0, blocksLeft: 0 };

/** Ids, descriptors and sizes that mean something, and some that mean nothing. */
const word = fc.oneof(
  fc.nat({ max: 20 }),
  fc.constantFrom(2048, 4096, 1 << 20, 0xffff_ffff, 0x0100_0000, 0x7fff_f800),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);

test('random operations never throw, and closing leaves nothing', () => {
  const call = fc.record({
    op: fc.nat({ max: 24 }),
    id: fc.nat({ max: 20 }),
    words: fc.array(word, { maxLength: 14 }),
  });
  fc.assert(
    fc.property(fc.array(call, { maxLength: 8 }), (calls) => {
      const c = new Client();
      const ioas = c.ioas();
      c.device(ioas, abi.DEVICE_PASID);
      c.map(ioas, c.buffer, 4n * P);
      c.createAccess(ioas, abi.ACCESS_NEEDS_PINS);
      for (const { op, id, words } of calls) {
        const bytes = new Uint8Array(72);
        bytes.set(new Uint8Array(Uint32Array.from([72, op, id, 0, ...words]).buffer));
        expect(c.raw(0x3ba0, bytes)).toBeLessThan(1024);
      }
      for (let fd = 3; fd < 20; fd++) closeQuietly(c, fd);
      c.close();
      expect(c.file.context.closed).toBe(true);
      expect(c.world.iommu.driver.live).toEqual(NOTHING);
      expect(c.world.pins.pages).toBe(0);
    }),
    { numRuns: Math.ceil(RUNS / 2) },
  );
});

function closeQuietly(c: Client, fd: number): void {
  try {
    c.process.closeFd(fd);
  } catch {
    // not open
  }
}

/** One of everything, each step on the results of those before; returns where it stopped. */
function tour(c: Client): string {
  const ioas = c.call(uapi.IOAS_ALLOC, {});
  if (ioas.result < 0) return 'ioas';
  const id = ioas.out.out_ioas_id;
  if (c.mapErrno(id, c.buffer, 4n * P, START) !== 'OK') return 'map';
  const device = c.call(abi.MOCK_DOMAIN, { op: 12, id, dev_flags: abi.DEVICE_PASID });
  if (device.result < 0) return 'device';
  const { out_idev_id: idev, out_stdev_id: stdev } = device.out;
  const parent = c.hwpt(idev, id, { flags: 1 });
  if (parent.errno !== 'OK') return 'parent';
  const viommu = c.call(uapi.VIOMMU_ALLOC, { type: abi.MOCK_TYPE.VIOMMU, dev_id: idev, hwpt_id: parent.id });
  if (viommu.result < 0) return 'viommu';
  const nested = c.nested(idev, viommu.out.out_viommu_id, 8);
  if (nested.errno !== 'OK') return 'nested';
  const ids = { viommu_id: viommu.out.out_viommu_id, dev_id: idev, virt_id: 5n };
  if (c.errno(uapi.VDEVICE_ALLOC, ids) !== 'OK') return 'vdevice';
  if (c.replace(stdev, nested.id) !== 'OK') return 'replace';
  const pasid = { op: abi.TEST_OP.PASID_ATTACH, id: stdev, pasid: 3, pt_id: nested.id };
  if (c.errno(abi.PASID_ATTACH, pasid) !== 'OK') return 'pasid';
  const queue = { type: abi.MOCK_TYPE.HW_QUEUE, nesting_parent_iova: START, length: P, viommu_id: ids.viommu_id };
  if (c.errno(uapi.HW_QUEUE_ALLOC, queue) !== 'OK') return 'queue';
  const access = c.call(abi.CREATE_ACCESS, { op: 5, id, flags: 1 });
  if (access.result < 0) return 'access';
  if (typeof c.pin(access.out.out_access_fd, START + P, P, c.buffer + P) === 'string') return 'pin';
  return 'done';
}

test('every use that can fail, failed in turn', () => {
  const stops = new Set<string>();
  for (let n = 1; n < 200; n++) {
    const c = new Client();
    c.file.context.injector.failNth(n);
    stops.add(tour(c));
    const left = c.file.context.injector.armed;
    for (let fd = 3; fd < 8; fd++) closeQuietly(c, fd);
    c.close();
    expect(c.world.iommu.driver.live).toEqual(NOTHING);
    expect(c.world.pins.pages).toBe(0);
    expect(c.file.context.table.size).toBe(0);
    if (!left) continue;
    expect([...stops].sort()).toEqual(
      [
        ...['access', 'device', 'done', 'ioas', 'map', 'nested', 'parent', 'pasid', 'pin', 'queue'],
        ...['replace', 'vdevice', 'viommu'],
      ].sort(),
    );
    return;
  }
  throw new Error('the tour never ends');
});
