import { ERRNO } from '@iommukit/core';
import {
  COMMANDS,
  IommufdFile,
  type Struct,
  type StructFields,
  type StructValues,
  type UserProcess,
  uapi,
} from '@iommukit/iommufd';
import { PageAllocator, SparseMemory } from '@iommukit/machine';
import { abi, MockIommu, PinCounts, testCommands } from '../../src/index.ts';
import { CountedProcess } from './process.ts';

export const P = 4096n;
export const TOP = (1n << 64n) - 1n;
export const START = abi.MOCK_APERTURE.start;
/** Length of the buffer every test has, as in the C program. */
export const BUFFER_SIZE = 16n * P;

const TEST_REQUEST = 0x3ba0;

export const MAP_FLAG = { FIXED: 1, WRITE: 2, READ: 4 } as const;

/** The machine: memory, one mock IOMMU, one process with a buffer. */
export class World {
  readonly memory = new SparseMemory();
  readonly pages = new PageAllocator(this.memory, 1n << 30n, (1n << 40n) - 1n);
  readonly pins = new PinCounts();
  readonly iommu = new MockIommu({ pages: this.pages, pins: (pa) => this.pins.at(pa) });

  process(): CountedProcess {
    return new CountedProcess(this.memory, this.pages, this.pins);
  }
}

/** An open `/dev/iommu`, with the C program's helpers. Results are `OK` or the name of an errno. */
export class Client {
  readonly world: World;
  readonly process: CountedProcess;
  readonly file: IommufdFile;
  readonly buffer: bigint;
  readonly scratch: bigint;

  constructor(world = new World(), process = world.process()) {
    this.world = world;
    this.process = process;
    this.file = new IommufdFile({ commands: testCommands(world.iommu) });
    this.buffer = process.alloc(Number(BUFFER_SIZE));
    this.scratch = process.alloc(1 << 16);
  }

  ioctl(request: number, arg: bigint, process: UserProcess = this.process): string {
    return nameOf(this.file.ioctl(request, arg, process));
  }

  raw(request: number, bytes: Uint8Array): number {
    this.process.write(this.scratch, bytes);
    return this.file.ioctl(request, this.scratch, this.process);
  }

  call<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>) {
    const native = COMMANDS.find((command) => command.struct.name === struct.name);
    const result = this.raw(native?.request ?? TEST_REQUEST, struct.encode(values));
    const bytes = new Uint8Array(struct.size);
    this.process.read(this.scratch, bytes);
    return { result, out: struct.decode(bytes) };
  }

  /** Expected to work. */
  ok<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): StructValues<F> {
    const { result, out } = this.call(struct, values);
    if (result < 0) throw new Error(`${struct.name}: ${nameOf(result)}`);
    return out;
  }

  errno<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): string {
    return nameOf(this.call(struct, values).result);
  }

  /** Structures or arrays beside the command's own; returns the address. */
  place(bytes: Uint8Array, at = this.scratch + 0x1000n): bigint {
    this.process.write(at, bytes);
    return at;
  }

  ioas(): number {
    return this.ok(uapi.IOAS_ALLOC, {}).out_ioas_id;
  }

  destroy(id: number): string {
    return this.errno(uapi.DESTROY, { id });
  }

  /** MOCK_DOMAIN, or MOCK_DOMAIN_FLAGS when flags are given. */
  device(id: number, flags?: number): { stdev: number; hwpt: number; idev: number } {
    const op = flags === undefined ? abi.TEST_OP.MOCK_DOMAIN : abi.TEST_OP.MOCK_DOMAIN_FLAGS;
    const out = this.ok(abi.MOCK_DOMAIN, { op, id, dev_flags: flags ?? 0 });
    return { stdev: out.out_stdev_id, hwpt: out.out_hwpt_id, idev: out.out_idev_id };
  }

  deviceErrno(id: number, flags = 0): string {
    return this.errno(abi.MOCK_DOMAIN, { op: abi.TEST_OP.MOCK_DOMAIN_FLAGS, id, dev_flags: flags });
  }

  replace(stdev: number, pt_id: number): string {
    return this.errno(abi.MOCK_DOMAIN_REPLACE, { op: abi.TEST_OP.MOCK_DOMAIN_REPLACE, id: stdev, pt_id });
  }

  map(ioas_id: number, user_va: bigint, length: bigint, flags = MAP_FLAG.READ | MAP_FLAG.WRITE): bigint {
    return this.ok(uapi.IOAS_MAP, { ioas_id, user_va, length, flags }).iova;
  }

  mapErrno(ioas_id: number, user_va: bigint, length: bigint, iova?: bigint): string {
    const flags = MAP_FLAG.READ | MAP_FLAG.WRITE | (iova === undefined ? 0 : MAP_FLAG.FIXED);
    return this.errno(uapi.IOAS_MAP, { ioas_id, user_va, length, flags, iova: iova ?? 0n });
  }

  mapFile(ioas_id: number, fd: number, start: bigint, length: bigint, iova?: bigint) {
    const flags = MAP_FLAG.READ | MAP_FLAG.WRITE | (iova === undefined ? 0 : MAP_FLAG.FIXED);
    const { result, out } = this.call(uapi.IOAS_MAP_FILE, { ioas_id, fd, start, length, flags, iova: iova ?? 0n });
    return { errno: nameOf(result), iova: out.iova };
  }

  unmap(ioas_id: number, iova: bigint, length: bigint): string {
    return this.errno(uapi.IOAS_UNMAP, { ioas_id, iova, length });
  }

  checkMap(id: number, iova: bigint, length: bigint, uptr: bigint): string {
    return this.errno(abi.CHECK_MAP, { op: abi.TEST_OP.MD_CHECK_MAP, id, iova, length, uptr });
  }

  checkRefs(uptr: bigint, length: bigint, refs: number): string {
    return this.errno(abi.CHECK_REFS, { op: abi.TEST_OP.MD_CHECK_REFS, uptr, length, refs });
  }

  createAccess(id: number, flags = 0): number {
    return this.ok(abi.CREATE_ACCESS, { op: abi.TEST_OP.CREATE_ACCESS, id, flags }).out_access_fd;
  }

  /** The item, or an errno. */
  pin(id: number, iova: bigint, length: bigint, uptr: bigint, flags = 0): number | string {
    const { result, out } = this.call(abi.ACCESS_PAGES, {
      op: abi.TEST_OP.ACCESS_PAGES,
      id,
      iova,
      length,
      uptr,
      flags,
    });
    return result < 0 ? nameOf(result) : out.out_access_pages_id;
  }

  unpin(id: number, item: number | string): string {
    const op = abi.TEST_OP.DESTROY_ACCESS_PAGES;
    return this.errno(abi.DESTROY_ACCESS_PAGES, { op, id, access_pages_id: Number(item) });
  }

  rw(id: number, iova: bigint, length: bigint, uptr: bigint, flags = 0): string {
    return this.errno(abi.ACCESS_RW, { op: abi.TEST_OP.ACCESS_RW, id, iova, length, uptr, flags });
  }

  reserve(id: number, start: bigint, length: bigint): string {
    return this.errno(abi.ADD_RESERVED, { op: abi.TEST_OP.ADD_RESERVED, id, start, length });
  }

  allow(ioas_id: number, ...ranges: readonly (readonly [bigint, bigint])[]): string {
    const allowed_iovas = this.place(new Uint8Array(BigUint64Array.from(ranges.flat()).buffer));
    return this.errno(uapi.IOAS_ALLOW_IOVAS, { ioas_id, num_iovas: ranges.length, allowed_iovas });
  }

  hwpt(dev_id: number, pt_id: number, values: Partial<StructValues<typeof uapi.HWPT_ALLOC.fields>> = {}) {
    const { result, out } = this.call(uapi.HWPT_ALLOC, { dev_id, pt_id, ...values });
    return { errno: nameOf(result), id: out.out_hwpt_id };
  }

  /** With the mock's data: a default value for the IOTLB slots, and a page-table type. */
  nested(dev_id: number, pt_id: number, flags = 0, fault_id = 0) {
    const bytes = abi.HWPT_SELFTEST.encode({ iotlb: abi.IOTLB_DEFAULT });
    const data = { data_type: abi.MOCK_TYPE.HWPT_DATA, data_len: 8, data_uptr: this.place(bytes) };
    return this.hwpt(dev_id, pt_id, { flags, fault_id, ...data });
  }

  slot(op: number, id: number, slot: number, value: number): string {
    return this.errno(abi.CHECK_SLOT, { op, id, slot, value });
  }

  iotlb(id: number): string[] {
    return this.#slots(abi.TEST_OP.MD_CHECK_IOTLB, id, abi.IOTLB_DEFAULT);
  }

  cache(id: number): string[] {
    return this.#slots(abi.TEST_OP.DEV_CHECK_CACHE, id, abi.DEV_CACHE_DEFAULT);
  }

  /** `kept` or `cleared`, by what the check says. */
  #slots(op: number, id: number, value: number): string[] {
    return [0, 1, 2, 3].map((slot) => {
      if (this.slot(op, id, slot, value) === 'OK') return 'kept';
      return this.slot(op, id, slot, 0) === 'OK' ? 'cleared' : 'neither';
    });
  }

  close(): void {
    this.file.close();
  }
}

export function nameOf(result: number): string {
  if (result >= 0) return 'OK';
  return Object.entries(ERRNO).find(([, number]) => number === -result)?.[0] ?? `errno ${-result}`;
}
