/** `iommufd_device_pasid`: PASIDs and the device's own requests on HWPTs that go together, or do not. */
import { uapi } from '@iommukit/iommufd';
import { beforeEach, expect, test } from 'vitest';
import { abi } from '../src/index.ts';
import { Client } from './support/client.ts';

const PASID = 8;
let c: Client;
let ioas: number;
let stdev: number;
let idev: number;
let parent: number;
let nested: number[];
let plain: number;

const attach = (pasid: number, pt_id: number, id = stdev) =>
  c.errno(abi.PASID_ATTACH, { op: abi.TEST_OP.PASID_ATTACH, id, pasid, pt_id });
const replace = (pasid: number, pt_id: number) =>
  c.errno(abi.PASID_ATTACH, { op: abi.TEST_OP.PASID_REPLACE, id: stdev, pasid, pt_id });
const detach = (pasid: number, id = stdev) => c.errno(abi.PASID_DETACH, { op: abi.TEST_OP.PASID_DETACH, id, pasid });
const check = (pasid: number, hwpt_id: number) =>
  c.errno(abi.PASID_CHECK, { op: abi.TEST_OP.PASID_CHECK_HWPT, id: stdev, pasid, hwpt_id });

beforeEach(() => {
  c = new Client();
  ioas = c.ioas();
  ({ stdev, idev } = c.device(ioas, abi.DEVICE_PASID));
  parent = c.hwpt(idev, ioas, { flags: 1 }).id;
  const viommu = c.ok(uapi.VIOMMU_ALLOC, { type: abi.MOCK_TYPE.VIOMMU, dev_id: idev, hwpt_id: parent });
  nested = [parent, parent, viommu.out_viommu_id].map((pt) => c.nested(idev, pt, PASID).id);
  plain = c.hwpt(idev, ioas, { flags: PASID }).id;
});

test('attach, check, detach', () => {
  expect(detach(100)).toBe('OK');
  expect(c.replace(stdev, parent)).toBe('OK');
  expect(attach(100, plain)).toBe('EINVAL');
  expect(c.replace(stdev, plain)).toBe('OK');
  expect(attach(100, nested[0]!)).toBe('OK');
  expect(c.replace(stdev, parent)).toBe('EINVAL');
  expect(detach(100)).toBe('OK');
  expect(check(100, 0)).toBe('OK');
  expect(attach(100, parent)).toBe('EINVAL');
  expect(attach(100, ioas)).toBe('EINVAL');
  expect(attach(100, 999)).toBe('ENOENT');
  expect(check(100, 0)).toBe('OK');
  expect(attach(100, plain)).toBe('OK');
  expect([check(100, plain), check(100, 0), check(100, nested[0]!), check(100, 999), check(100, ioas)]).toEqual([
    'OK',
    'EINVAL',
    'EINVAL',
    'ENOENT',
    'EINVAL',
  ]);
  expect(attach(100, nested[0]!)).toBe('EBUSY');
  expect(attach(100, plain)).toBe('EBUSY');
  expect(attach(1 << 20, plain)).toBe('EINVAL');
  expect(detach(100, 999)).toBe('ENOENT');
  expect(attach(100, plain, idev)).toBe('ENOENT');
});

test('replace, and a roll-back when the driver fails', () => {
  expect(c.replace(stdev, plain)).toBe('OK');
  expect(replace(200, plain)).toBe('EINVAL');
  expect(attach(200, plain)).toBe('OK');
  expect(replace(200, ioas)).toBe('EINVAL');
  expect(check(200, plain)).toBe('OK');
  for (const id of nested.slice(0, 2)) {
    expect(replace(200, id)).toBe('OK');
    expect(check(200, id)).toBe('OK');
  }
  expect(detach(200)).toBe('OK');
  expect(attach(1024, plain)).toBe('OK');
  expect(replace(1024, nested[0]!)).toBe('ENOMEM');
  expect(check(1024, plain)).toBe('OK');
  expect(replace(1024, nested[0]!)).toBe('OK');
  expect(replace(1024, plain)).toBe('ENOMEM');
  expect(check(1024, nested[0]!)).toBe('OK');
  expect(detach(1024)).toBe('OK');
  for (let i = 0; i < 3; i++) expect([attach(1024, plain), detach(1024)]).toEqual(['OK', 'OK']);
});

test('a device without PASIDs', () => {
  const other = c.device(ioas, 0);
  expect(c.replace(other.stdev, nested[0]!)).toBe('OK');
  expect(c.replace(other.stdev, ioas)).toBe('OK');
  expect(attach(100, parent, other.stdev)).toBe('EINVAL');
  expect(attach(100, plain, other.stdev)).toBe('EINVAL');
  expect(c.deviceErrno(ioas, 2)).toBe('EINVAL');
  expect(c.deviceErrno(ioas, 8)).toBe('EINVAL');
});

test('faults of a PASID reach the queue of its HWPT', () => {
  const { out_fault_id, out_fault_fd } = c.ok(uapi.FAULT_QUEUE_ALLOC, {});
  const iopf = c.nested(idev, parent, 4 | PASID, out_fault_id).id;
  expect(c.replace(stdev, plain)).toBe('OK');
  expect(attach(2048, iopf)).toBe('OK');
  const trigger = { op: abi.TEST_OP.TRIGGER_IOPF, dev_id: idev, pasid: 2048, grpid: 2, perm: 3, addr: 0xdeadbeafn };
  expect(c.errno(abi.TRIGGER_IOPF, trigger)).toBe('OK');
  const target = c.process.file(out_fault_fd);
  if (target.kind !== 'ours') throw new Error('no queue');
  const at = c.scratch + 0x3000n;
  expect(target.file.read(at, 40, c.process)).toBe(40);
  const bytes = new Uint8Array(40);
  c.process.read(at, bytes);
  expect([...new Uint32Array(bytes.buffer)]).toEqual([3, idev, 2048, 2, 3, 0, 0xdeadbeaf, 0, 0, 1]);
  expect(replace(2048, plain)).toBe('OK');
  expect(c.world.iommu.driver.responses).toEqual([{ pasid: 2048, groupId: 2, code: 1 }]);
  expect(detach(2048)).toBe('OK');
  expect(c.destroy(iopf)).toBe('OK');
});

test('destroying a device detaches its PASIDs', () => {
  expect(c.replace(stdev, plain)).toBe('OK');
  expect(attach(5, nested[1]!)).toBe('OK');
  expect(c.destroy(stdev)).toBe('OK');
  expect(c.destroy(nested[1]!)).toBe('OK');
  c.close();
  expect(c.world.iommu.driver.live).toEqual({ domains: 0, viommus: 0, queues: 0, devices: 0, blocksLeft: 0 });
});
