import { PAGE_REQUEST_FLAG, PAGE_RESPONSE } from '@iommukit/core';
import { expect, test } from 'vitest';
import { DeviceObject, POLL, type StreamFile, uapi } from '../src/index.ts';
import { Bench, errnoName, NOTHING_LEFT } from './support/bench.ts';
import { FAKE } from './support/fake-driver.ts';

const LAST = PAGE_REQUEST_FLAG.LAST_PAGE;
const VALID = PAGE_REQUEST_FLAG.PASID_VALID;

function openStream(bench: Bench, fd: number): StreamFile {
  const target = bench.process.file(fd);
  if (target.kind !== 'ours') throw new Error('not one of ours');
  return target.file as StreamFile;
}

function withFaults(options: { pasids?: boolean } = {}) {
  const bench = new Bench({ maxPasids: 1 << 20 });
  const { out_fault_id, out_fault_fd } = bench.ok(uapi.FAULT_QUEUE_ALLOC, {});
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const flags = 4 | (options.pasids ? 8 : 0);
  const ids = { dev_id: bench.bound.id, pt_id: out_ioas_id, fault_id: out_fault_id };
  const { out_hwpt_id } = bench.ok(uapi.HWPT_ALLOC, { flags, ...ids });
  bench.bound.attach(out_hwpt_id);
  const stream = openStream(bench, out_fault_fd);
  const report = (groupId: number, address: bigint, flags: number, pasid = 0, perm = 1) =>
    bench.driver.sink!.report(bench.device.handle, { flags, pasid, groupId, perm, address });
  const read = (count: number) => {
    const result = stream.read(bench.scratch, count, bench.process);
    if (result < 0) return errnoName(result);
    const bytes = new Uint8Array(result);
    bench.process.read(bench.scratch, bytes);
    return Buffer.from(bytes).toString('hex');
  };
  const write = (...words: number[]) => {
    bench.process.write(bench.scratch, new Uint8Array(Uint32Array.from(words).buffer));
    return stream.write(bench.scratch, words.length * 4, bench.process);
  };
  return { bench, stream, report, read, write, hwpt: out_hwpt_id, fault: out_fault_id, fd: out_fault_fd };
}

test('a page-fault record, byte for byte', () => {
  const { bench, stream, report, read } = withFaults();
  let woken = 0;
  stream.onReadable = () => woken++;
  expect(stream.poll()).toBe(POLL.OUT);
  expect(read(4000)).toBe('');
  expect(report(7, 0x1234_5678_9abc_d000n, LAST | VALID, 0, 2 | 8)).toBe(true); // PASID 0 is the device itself
  expect(woken).toBe(1);
  expect(stream.poll()).toBe(POLL.IN | POLL.OUT);
  expect(bench.bound.id).toBe(1);
  expect(read(40)).toBe(
    [
      '03000000', // flags: PASID_VALID, LAST_PAGE
      '01000000', // dev_id
      '00000000', // pasid
      '07000000', // grpid
      '0a000000', // perm: write, privileged
      '00000000',
      '00d0bc9a78563412',
      '00000000', // length
      '01000000', // cookie
    ].join(''),
  );
  expect(stream.poll()).toBe(POLL.OUT);
});

test('groups are put together by index, delivered whole, and answered once', () => {
  const { bench, report, read, write } = withFaults();
  report(1, 0x1000n, 0);
  report(2, 0x2000n, 0);
  report(1, 0x3000n, 0);
  expect(read(4000)).toBe('');
  report(1, 0x4000n, LAST);
  report(2, 0x5000n, LAST);
  expect(read(80)).toBe('EINVAL'); // the first group has three records
  expect(read(0)).toBe('EINVAL');
  expect(read(50)).toBe('ESPIPE');
  const first = read(160) as string;
  expect(first).toHaveLength(240); // the second does not fit behind it
  const addresses = [0, 1, 2].map((i) => first.slice(i * 80 + 48, i * 80 + 64));
  expect(addresses).toEqual(['0010000000000000', '0030000000000000', '0040000000000000']);
  expect(write(2, 0)).toBe(-22); // never read, hence no cookie
  expect((read(80) as string).slice(72, 80)).toBe('02000000');
  expect(write(1, 2)).toBe(-22);
  expect(write(1, PAGE_RESPONSE.FAILURE)).toBe(-22);
  expect(write(1, 0, 9, 0, 2, 1)).toBe(8); // stops at the unknown cookie
  expect(write(1, 0)).toBe(-22); // answered already
  expect(write(2, 1)).toBe(8);
  expect(write(2)).toBe(-29);
  expect(bench.driver.responses).toEqual([
    { pasid: 0, groupId: 1, code: 0 },
    { pasid: 0, groupId: 2, code: 1 },
  ]);
});

test('cookies are the lowest free ones', () => {
  const { report, read, write } = withFaults();
  for (const group of [1, 2, 3]) report(group, 0n, LAST);
  const cookies = () => (read(40) as string).slice(72);
  expect([cookies(), cookies()]).toEqual(['01000000', '02000000']);
  write(1, 0);
  expect(cookies()).toBe('01000000');
});

test('a reader that faults leaves the group at the head', () => {
  const { bench, stream, report, read } = withFaults();
  report(1, 0x1000n, LAST);
  report(2, 0x2000n, LAST);
  expect(errnoName(stream.read(8n, 80, bench.process))).toBe('EFAULT');
  expect(errnoName(stream.read(bench.scratch, 40, bench.process, 1n))).toBe('ESPIPE');
  const both = read(80) as string;
  expect([both.slice(24, 32), both.slice(104, 112)]).toEqual(['01000000', '02000000']);
  expect([both.slice(72, 80), both.slice(152)]).toEqual(['01000000', '02000000']);
});

test('answers in memory that cannot be read', () => {
  const { bench, stream, report, read } = withFaults();
  report(1, 0x1000n, LAST);
  read(40);
  const edge = bench.scratch + 65536n - 8n;
  bench.process.write(edge, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  expect(errnoName(stream.write(8n, 8, bench.process))).toBe('EFAULT');
  expect(stream.write(edge, 16, bench.process)).toBe(8);
  expect(bench.driver.responses).toHaveLength(1);
});

test('detach, replace and a lack of a handler answer INVALID', () => {
  const { bench, report, read, hwpt } = withFaults();
  report(1, 0x1000n, LAST);
  report(2, 0x1000n, LAST);
  read(40);
  bench.bound.detach();
  expect(bench.driver.responses).toEqual([
    { pasid: 0, groupId: 2, code: 1 },
    { pasid: 0, groupId: 1, code: 1 },
  ]);
  expect(report(3, 0n, LAST)).toBe(false);
  expect(bench.driver.responses.at(-1)).toEqual({ pasid: 0, groupId: 3, code: 1 });
  bench.bound.attach(hwpt);
  report(4, 0x1000n, LAST);
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  bench.bound.replace(out_ioas_id);
  expect(bench.driver.responses.at(-1)).toEqual({ pasid: 0, groupId: 4, code: 1 });
});

test('PASIDs go to their own domain; those without one to nobody', () => {
  const { bench, report, read, hwpt } = withFaults({ pasids: true });
  bench.bound.attach(hwpt, 5);
  report(1, 0x1000n, LAST | VALID, 5);
  expect((read(40) as string).slice(0, 24)).toBe('030000000100000005000000');
  expect(report(1, 0x1000n, LAST | VALID, 6)).toBe(false);
  bench.bound.detach(5);
  expect(bench.driver.responses).toEqual([
    { pasid: 6, groupId: 1, code: 1 },
    { pasid: 5, groupId: 1, code: 1 },
  ]);
});

test('a guest with its own PASID table hears of every PASID', () => {
  const { bench, report, read, fault } = withFaults();
  Object.assign(bench.driver, { userPasidTable: true });
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const parent = bench.ok(uapi.HWPT_ALLOC, { flags: 1, dev_id: 1, pt_id: out_ioas_id }).out_hwpt_id;
  const data = { data_type: FAKE.HWPT_DATA, data_len: 8, data_uptr: bench.scratch };
  const nested = bench.ok(uapi.HWPT_ALLOC, {
    flags: 4,
    dev_id: 1,
    pt_id: parent,
    fault_id: fault,
    ...data,
  }).out_hwpt_id;
  expect(report(1, 0n, LAST | VALID, 9)).toBe(false); // a paging domain owns no PASID table
  bench.bound.replace(nested);
  expect(report(2, 0n, LAST | VALID, 9)).toBe(true);
  expect((read(40) as string).slice(0, 24)).toBe('030000000100000009000000');
});

test('a virtual function with page requests takes no HWPT with faults', () => {
  const { bench, hwpt } = withFaults();
  const bound = DeviceObject.create(bench.context, bench.addDevice(bench.driver, null, { virtualFunction: true }));
  expect(() => bound.attach(hwpt)).toThrow(/EINVAL/);
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  bound.attach(out_ioas_id);
  expect(() => bound.replace(hwpt)).toThrow(/EINVAL/);
  const quiet = bench.addDevice(bench.driver, null, { virtualFunction: true, pri: false });
  expect(DeviceObject.create(bench.context, quiet).attach(hwpt)).toBe(hwpt);
});

test('devices of one group share an attachment; its faults are answered when the last one leaves', () => {
  const { bench, hwpt } = withFaults();
  const [a, b] = [1, 2].map(() => DeviceObject.create(bench.context, bench.addDevice(bench.driver, 'slot')));
  a!.attach(hwpt);
  b!.attach(hwpt);
  bench.driver.sink!.report(b!.device.handle, { flags: LAST, pasid: 0, groupId: 4, perm: 1, address: 0n });
  a!.detach();
  expect(bench.driver.responses).toEqual([]);
  b!.detach();
  expect(bench.driver.responses).toEqual([{ pasid: 0, groupId: 4, code: 1 }]);
});

test('an overflow of the unit forgets unfinished groups', () => {
  const { bench, report, read } = withFaults();
  report(1, 0x1000n, 0);
  bench.driver.sink!.discardPartial(bench.device.handle);
  report(1, 0x2000n, LAST);
  expect(read(4000)).toHaveLength(80);
});

test('closing the descriptor, the HWPT and the queue, in this order only', () => {
  const { bench, report, hwpt, fault, fd } = withFaults();
  report(1, 0n, LAST);
  expect(bench.errno(uapi.DESTROY, { id: fault })).toBe('EBUSY');
  bench.process.closeFd(fd);
  expect(bench.errno(uapi.DESTROY, { id: fault })).toBe('EBUSY');
  bench.bound.detach();
  bench.ok(uapi.DESTROY, { id: hwpt });
  bench.ok(uapi.DESTROY, { id: fault });
  expect(bench.driver.responses).toHaveLength(1);
  expect(bench.close()).toEqual(NOTHING_LEFT);
});

test('an open queue keeps the closed context alive', () => {
  const { bench, fd } = withFaults();
  bench.file.close();
  bench.bound.unbind();
  expect(bench.context.closed).toBe(false);
  bench.process.closeFd(fd);
  expect(bench.context.closed).toBe(true);
  expect(bench.leftovers).toEqual(NOTHING_LEFT);
});

function withEvents(depth: number) {
  const bench = new Bench();
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const parent = bench.ok(uapi.HWPT_ALLOC, { flags: 1, dev_id: 1, pt_id: out_ioas_id }).out_hwpt_id;
  const viommu = bench.ok(uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: 1, hwpt_id: parent }).out_viommu_id;
  const queue = bench.ok(uapi.VEVENTQ_ALLOC, { viommu_id: viommu, type: FAKE.EVENT, veventq_depth: depth });
  const stream = openStream(bench, queue.out_veventq_fd);
  const report = (word: number, type: number = FAKE.EVENT) =>
    bench.driver.lastViommu!.listener!(type, new Uint8Array(Uint32Array.of(word).buffer));
  const read = (count = 4096) => {
    const result = stream.read(bench.scratch, count, bench.process);
    if (result < 0) return errnoName(result);
    const bytes = new Uint8Array(result);
    bench.process.read(bench.scratch, bytes);
    return Buffer.from(bytes).toString('hex');
  };
  return { bench, stream, report, read, viommu, queue };
}

const event = (sequence: number, word: number) => `00000000${hex(sequence)}${hex(word)}`;
const lost = (sequence: number) => `01000000${hex(sequence)}`;
const hex = (word: number) => Buffer.from(Uint32Array.of(word).buffer).toString('hex');

test('events, their sequence, and what is lost', () => {
  const { stream, report, read } = withEvents(2);
  expect(stream.poll()).toBe(0);
  expect(read()).toBe('');
  report(0xa);
  report(0xb);
  expect(stream.poll()).toBe(POLL.IN);
  expect(read()).toBe(event(0, 0xa) + event(1, 0xb));
  report(0xc);
  report(0xd);
  report(0xe); // dropped
  report(0xf); // dropped: the header moves on
  expect(read()).toBe(event(2, 0xc) + event(3, 0xd) + lost(5));
  report(1);
  report(2);
  report(3); // dropped
  expect(read(12)).toBe(event(6, 1));
  report(4); // there is room again: the header goes, the gap tells
  expect(read()).toBe(event(7, 2) + event(9, 4));
});

test('reads that do not fit', () => {
  const { bench, stream, report, read } = withEvents(2);
  expect(read(7)).toBe('EINVAL');
  expect(read(8)).toBe('');
  report(1);
  expect(read(11)).toBe('EINVAL');
  expect(errnoName(stream.read(8n, 12, bench.process))).toBe('EFAULT');
  expect(read(23)).toBe(event(0, 1));
  expect(errnoName(stream.read(bench.scratch, 12, bench.process, 8n))).toBe('ESPIPE');
  expect(errnoName(stream.write(bench.scratch, 8, bench.process))).toBe('EINVAL');
});

test('who reports an event nobody asked for hears of it; one that is dropped passes for delivered', () => {
  const { bench, report, queue } = withEvents(1);
  report(1);
  expect(() => report(2)).not.toThrow();
  expect(() => report(1, FAKE.EVENT + 1)).toThrow(/EOPNOTSUPP/);
  expect(() => bench.driver.lastViommu!.listener!(FAKE.EVENT, new Uint8Array())).toThrow(/EINVAL/);
  expect(bench.errno(uapi.DESTROY, { id: queue.out_veventq_id })).toBe('EBUSY');
  bench.process.closeFd(queue.out_veventq_fd);
  bench.ok(uapi.DESTROY, { id: queue.out_veventq_id });
  expect(bench.close()).toEqual(NOTHING_LEFT);
});

test('an exported region is mapped exactly, and holds its vIOMMU', () => {
  const bench = new Bench();
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const parent = bench.ok(uapi.HWPT_ALLOC, { flags: 1, dev_id: 1, pt_id: out_ioas_id }).out_hwpt_id;
  const at = bench.scratch + 0x8000n;
  bench.process.write(at, Uint8Array.of(0x11, 0x22));
  const values = { type: FAKE.VIOMMU, dev_id: 1, hwpt_id: parent, data_len: 24, data_uptr: at };
  const { out_viommu_id } = bench.ok(uapi.VIOMMU_ALLOC, values);
  const reply = new BigUint64Array(3);
  bench.process.read(at, new Uint8Array(reply.buffer));
  expect([...reply]).toEqual([0x2211n, 4096n, 8192n]); // the first page is never handed out
  const map = (offset: bigint, length: bigint, prot = 3, flags = 1) => {
    const result = bench.file.mmap(offset, length, prot, flags);
    return typeof result === 'number' ? errnoName(result) : result;
  };
  expect(map(4096n, 8191n)).toBe('EINVAL');
  expect(map(4096n, 8192n, 3, 2)).toBe('EINVAL');
  expect(map(4096n, 8192n, 7)).toBe('EPERM');
  expect(map(4096n, 4096n)).toBe('ENXIO');
  expect(map(8192n, 8192n)).toBe('ENXIO');
  const mapped = map(4096n, 8192n);
  if (typeof mapped === 'string') throw new Error(mapped);
  expect(mapped.bytes).toEqual(new Uint8Array(8192).fill(0x5a));
  expect(bench.errno(uapi.DESTROY, { id: out_viommu_id })).toBe('EBUSY');
  mapped.unmap();
  mapped.unmap();
  bench.ok(uapi.DESTROY, { id: out_viommu_id });
  expect(map(4096n, 8192n)).toBe('ENXIO');
  bench.ok(uapi.VIOMMU_ALLOC, values);
  bench.ok(uapi.VIOMMU_ALLOC, values);
  bench.process.read(at, new Uint8Array(reply.buffer));
  expect(reply[1]).toBe(4096n + 8192n);
});

test('a hardware queue takes two ids, keeps its memory, and waits for those built on it', () => {
  const bench = new Bench();
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const parent = bench.ok(uapi.HWPT_ALLOC, { flags: 1, dev_id: 1, pt_id: out_ioas_id }).out_hwpt_id;
  const viommu = bench.ok(uapi.VIOMMU_ALLOC, { type: FAKE.VIOMMU, dev_id: 1, hwpt_id: parent }).out_viommu_id;
  const va = bench.process.alloc(1 << 20);
  bench.ok(uapi.IOAS_MAP, { ioas_id: out_ioas_id, flags: 7, user_va: va, length: 0x10_0000n, iova: 0x10_0000n });
  const make = (index: number) => ({
    viommu_id: viommu,
    type: FAKE.QUEUE,
    index,
    nesting_parent_iova: 0x10_0040n,
    length: 0x2000n,
  });
  const first = bench.ok(uapi.HW_QUEUE_ALLOC, make(0)).out_hw_queue_id;
  expect([viommu, first]).toEqual([4, 5]);
  const { pa } = bench.process.pagesOf(va, 4096n)[0]!;
  expect(bench.driver.lastViommu!.memory).toEqual({ iova: 0x10_0040n, pa: pa + 0x40n, length: 0x2000n });
  expect(bench.errno(uapi.DESTROY, { id: 6 })).toBe('EBUSY'); // the hidden access
  const second = bench.ok(uapi.HW_QUEUE_ALLOC, make(1)).out_hw_queue_id;
  expect(second).toBe(7);
  const whole = { ioas_id: out_ioas_id, iova: 0x10_0000n, length: 0x10_0000n };
  expect(bench.errno(uapi.IOAS_UNMAP, whole)).toBe('EBUSY');
  expect(bench.errno(uapi.DESTROY, { id: first })).toBe('EBUSY');
  bench.ok(uapi.DESTROY, { id: second });
  bench.ok(uapi.DESTROY, { id: first });
  expect(bench.context.table.size).toBe(4);
  bench.ok(uapi.IOAS_UNMAP, whole);
  expect(bench.close()).toEqual(NOTHING_LEFT);
});
