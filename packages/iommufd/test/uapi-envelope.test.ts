import { expect, test } from 'vitest';
import { command, IommufdFile, StreamFile, Struct, u32, uapi } from '../src/index.ts';
import { Bench, errnoName, NOTHING_LEFT } from './support/bench.ts';

const ALLOC = 0x3b81;

const u32s = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);

test('the order of the envelope checks', () => {
  const bench = new Bench();
  const bad = 0xdead_0000n;
  const at = (request: number, arg: bigint) => errnoName(bench.file.ioctl(request, arg, bench.process));
  // 1: a number outside the table is unknown before any memory is touched
  expect(at(0x3b95, bad)).toBe('ENOTTY');
  expect(at(0x3b00, bad)).toBe('ENOTTY');
  // 2: then the size word
  expect(at(ALLOC, bad)).toBe('EFAULT');
  // 2 before 3: a number inside the table with other bits set
  expect(at(0xc000_3b81, bad)).toBe('EFAULT');
  expect(errnoName(bench.raw(0xc000_3b81, u32s(12, 0, 0)))).toBe('ENOTTY');
  expect(errnoName(bench.raw(0x3c81, u32s(12, 0, 0)))).toBe('ENOTTY');
  // 4: too short
  expect(errnoName(bench.raw(ALLOC, u32s(11, 0, 0)))).toBe('EINVAL');
  expect(errnoName(bench.raw(ALLOC, u32s(0)))).toBe('EINVAL');
  // 5: unknown tail
  expect(errnoName(bench.raw(ALLOC, u32s(16, 0, 0, 1)))).toBe('E2BIG');
  expect(errnoName(bench.raw(ALLOC, u32s(16, 0, 0, 0)))).toBe('OK');
  // 5: tail that cannot be read, though what we know is fine
  const edge = bench.scratch + 65536n - 12n;
  expect(errnoName(bench.raw(ALLOC, u32s(16, 0, 0), edge))).toBe('EFAULT');
  expect(errnoName(bench.raw(ALLOC, u32s(12, 0, 0), edge))).toBe('OK');
  // 5 before the rest of the structure is read: E2BIG comes from the tail alone
  expect(errnoName(bench.raw(ALLOC, u32s(16, 99, 0, 7)))).toBe('E2BIG');
});

test('a long zero tail is looked at in full', () => {
  const bench = new Bench();
  const bytes = new Uint8Array(40_000);
  bytes.set(u32s(40_000, 0, 0));
  expect(errnoName(bench.raw(ALLOC, bytes))).toBe('OK');
  bytes[39_999] = 1;
  expect(errnoName(bench.raw(ALLOC, bytes))).toBe('E2BIG');
});

test('a short structure reads as zero behind its end, and only that much is written back', () => {
  const bench = new Bench();
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const whole = uapi.HWPT_ALLOC.encode({ size: 24, dev_id: bench.bound.id, pt_id: out_ioas_id });
  whole.fill(0xee, 24);
  expect(errnoName(bench.raw(0x3b89, whole))).toBe('OK');
  const after = new Uint8Array(48);
  bench.process.read(bench.scratch, after);
  expect(uapi.HWPT_ALLOC.decode(after).out_hwpt_id).toBe(3);
  expect([...after.subarray(24)]).toEqual(new Array(24).fill(0xee));
});

test('a reply that cannot be written undoes the object, and its id is free again', () => {
  const bench = new Bench();
  const pa = BigInt(bench.pages.alloc(4096));
  bench.memory.writeBytes(pa, uapi.IOAS_ALLOC.encode({}));
  bench.process.map(0x10_0000n, 4096n, pa, false);
  expect(errnoName(bench.file.ioctl(ALLOC, 0x10_0000n, bench.process))).toBe('EFAULT');
  expect(bench.context.table.size).toBe(1);
  expect(bench.ok(uapi.IOAS_ALLOC, {}).out_ioas_id).toBe(2);
});

test('a queue whose reply cannot be written leaves neither object nor descriptor', () => {
  const bench = new Bench();
  const pa = BigInt(bench.pages.alloc(4096));
  bench.memory.writeBytes(pa, uapi.FAULT_QUEUE_ALLOC.encode({}));
  bench.process.map(0x10_0000n, 4096n, pa, false);
  expect(errnoName(bench.file.ioctl(0x3b8e, 0x10_0000n, bench.process))).toBe('EFAULT');
  expect(bench.context.table.size).toBe(1);
  expect(() => bench.process.file(3)).toThrow(/EBADF/);
  expect(bench.close()).toEqual(NOTHING_LEFT);
  expect(bench.context.closed).toBe(true);
});

test('mappings stay when their reply cannot be written', () => {
  const bench = new Bench();
  const { out_ioas_id } = bench.ok(uapi.IOAS_ALLOC, {});
  const va = bench.process.alloc(4096);
  const pa = BigInt(bench.pages.alloc(4096));
  const map = { ioas_id: out_ioas_id, flags: 7, user_va: va, length: 4096n, iova: 0x5000n };
  bench.memory.writeBytes(pa, uapi.IOAS_MAP.encode(map));
  bench.process.map(0x10_0000n, 4096n, pa, false);
  expect(errnoName(bench.file.ioctl(0x3b85, 0x10_0000n, bench.process))).toBe('EFAULT');
  expect(bench.errno(uapi.IOAS_MAP, map)).toBe('EEXIST');
  expect(bench.ok(uapi.IOAS_UNMAP, { ioas_id: out_ioas_id, iova: 0x5000n, length: 4096n }).length).toBe(4096n);
});

test('a further command joins the table, and holes in it answer ENOTTY after the size word', () => {
  const bench = new Bench();
  const struct = new Struct('test', 72, { size: u32(0), op: u32(4), id: u32(8) });
  const extra = command('TEST', 0xa0, struct, ({ args }) => args.op + args.id, 'id');
  const file = new IommufdFile({ commands: [extra] });
  expect(extra.min).toBe(12);
  const call = (request: number, arg = bench.scratch) => file.ioctl(request, arg, bench.process);
  bench.process.write(bench.scratch, struct.encode({ op: 40, id: 2 }));
  expect(call(0x3ba0)).toBe(42);
  expect(errnoName(call(0x3b9f))).toBe('ENOTTY');
  expect(errnoName(call(0x3b9f, 0x1n))).toBe('EFAULT');
  expect(errnoName(call(0x3ba1, 0x1n))).toBe('ENOTTY');
});

test('a context has nothing to read, write, poll or map', () => {
  const bench = new Bench();
  expect(errnoName(bench.file.read())).toBe('EINVAL');
  expect(errnoName(bench.file.write())).toBe('EINVAL');
  expect(bench.file.poll()).toBe(0);
  expect(errnoName(bench.file.mmap(4096n, 4096n, 3, 1) as number)).toBe('ENXIO');
  expect(errnoName(new StreamFile({} as never).ioctl())).toBe('ENOTTY');
});
