import { ERRNO, type Errno } from '@iommukit/core';
import {
  COMMANDS,
  type DeviceObject,
  Iommufd,
  IommufdFile,
  SimpleProcess,
  type Struct,
  type StructFields,
  type StructValues,
  uapi,
} from '@iommukit/iommufd';
import { equal, ok, same } from '../expect.ts';
import type { DeviceName } from './devices.ts';
import { GuestRam } from './nest.ts';
import type { Rig } from './rig.ts';
import type { RigDevice } from './rig-device.ts';

/** Flags of IOAS_MAP and its kin. */
export const MAP = { FIXED: 1, WRITE: 2, READ: 4, RW: 6, FIXED_RW: 7 } as const;

const SCRATCH_BYTES = 0x1_0000;

/** Memory of the program, seen from both sides. */
export interface UserBlock {
  readonly va: bigint;
  /** Contiguous from here. */
  readonly pa: bigint;
}

/** A device bound to the open file: its end of the bus, and the object. */
export interface BoundDevice {
  readonly dma: RigDevice;
  readonly object: DeviceObject;
}

/** A program on the rig's board with `/dev/iommu` open: the typed face and the byte face over the same objects. */
export class User {
  readonly rig: Rig;
  readonly process: SimpleProcess;
  readonly fd = new Iommufd();
  readonly file: IommufdFile;
  /** Room for structures and arrays. */
  readonly scratch: bigint;
  readonly #bound: BoundDevice[] = [];

  constructor(rig: Rig) {
    this.rig = rig;
    const { ram } = rig;
    const alloc = (bytes: number, align = 4096) => Number(ram.take(BigInt(bytes), BigInt(align)));
    this.process = new SimpleProcess(rig.machine.memory, { alloc, free() {} });
    this.file = new IommufdFile({ context: this.fd.context });
    this.scratch = this.process.alloc(SCRATCH_BYTES);
  }

  /** Binds a device as its VFIO driver would. */
  bind(device: RigDevice): BoundDevice {
    const bound = { dma: device, object: this.fd.bind(device.device) };
    this.#bound.push(bound);
    return bound;
  }

  device(name: DeviceName = 'b'): BoundDevice {
    return this.bind(this.rig.device(name));
  }

  unbind(bound: BoundDevice): void {
    this.#bound.splice(this.#bound.indexOf(bound), 1);
    bound.object.unbind();
  }

  /** Memory of the program, whole pages. */
  memory(bytes: number | bigint, writable = true): UserBlock {
    const va = this.process.alloc(Number(bytes), writable);
    return { va, pa: this.process.pagesOf(va, BigInt(bytes))[0]!.pa };
  }

  /** A command by bytes: its errno (null: it worked), and the structure as the program finds it afterwards. */
  call<F extends StructFields>(
    struct: Struct<F>,
    values: Partial<StructValues<F>>,
  ): { readonly errno: Errno | null; readonly out: StructValues<F> } {
    const request = COMMANDS.find((command) => command.struct.name === struct.name)!.request;
    const bytes = struct.encode(values);
    ok(this.process.write(this.scratch, bytes), 'the scratch memory is gone');
    const errno = errnoName(this.file.ioctl(request, this.scratch, this.process));
    this.process.read(this.scratch, bytes);
    return { errno, out: struct.decode(bytes) };
  }

  /** The same, and it must work. */
  ask<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): StructValues<F> {
    const { errno, out } = this.call(struct, values);
    equal(errno, null, `errno of ${struct.name}`);
    return out;
  }

  /** The same, and it must fail with one of `errno`. */
  refused<F extends StructFields>(
    errno: Errno | readonly Errno[],
    struct: Struct<F>,
    values: Partial<StructValues<F>>,
    what: string,
  ): void {
    const allowed: readonly (Errno | null)[] = typeof errno === 'string' ? [errno] : errno;
    const found = this.call(struct, values).errno;
    ok(allowed.includes(found), `${what}: ${found ?? 'no error'}, not ${allowed.join(' or ')}`);
  }

  /** An IOAS, by bytes; returns its id. */
  ioas(): number {
    return this.ask(uapi.IOAS_ALLOC, {}).out_ioas_id;
  }

  /** Fresh memory mapped at `iova`, by bytes. */
  map(ioasId: number, iova: bigint, bytes: number | bigint, flags: number = MAP.FIXED_RW): UserBlock {
    const block = this.memory(bytes);
    this.mapBlock(ioasId, iova, block, bytes, flags);
    return block;
  }

  /** Memory at hand mapped at `iova`, by bytes. */
  mapBlock(ioasId: number, iova: bigint, { va }: UserBlock, bytes: number | bigint, flags: number = MAP.FIXED_RW) {
    const length = BigInt(bytes);
    this.ask(uapi.IOAS_MAP, { ioas_id: ioasId, flags, user_va: va, length, iova });
  }

  /** Bytes removed. */
  unmap(ioasId: number, iova: bigint, length: bigint): bigint {
    return this.ask(uapi.IOAS_UNMAP, { ioas_id: ioasId, iova, length }).length;
  }

  /** An HWPT for a device, by bytes; returns its id. */
  hwpt({ object }: BoundDevice, ptId: number, values: Partial<StructValues<typeof uapi.HWPT_ALLOC.fields>> = {}) {
    return this.ask(uapi.HWPT_ALLOC, { dev_id: object.id, pt_id: ptId, ...values }).out_hwpt_id;
  }

  /** Bytes put at an offset of the scratch memory (0x1000 and above); returns their address. */
  put(bytes: Uint8Array, offset = 0x1000): bigint {
    const at = this.scratch + BigInt(offset);
    ok(this.process.write(at, bytes), 'the scratch memory is too small');
    return at;
  }

  bytes(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    ok(this.process.read(address, bytes), "the program's memory does not answer");
    return bytes;
  }

  /** The program's memory as a guest's: `base` is its guest-physical address. */
  guest(base: bigint, { pa }: UserBlock): GuestRam {
    return new GuestRam(this.rig.ram, base, pa);
  }

  /** What would be left if the file were closed now. */
  get leftovers(): Record<string, number> {
    const { accounts, pinnedPages } = this.process;
    return {
      objects: this.fd.context.table.size,
      pins: Number(pinnedPages),
      charged: Number(accounts.user.pages + accounts.process.pages),
    };
  }

  /** Lets every device go, closes the file, and looks for what stayed behind. */
  close(): void {
    for (const bound of [...this.#bound]) this.unbind(bound);
    this.fd.close();
    this.checkClosed();
  }

  checkClosed(): void {
    ok(this.fd.context.closed, 'something keeps the closed file open');
    same(this.leftovers, { objects: 0, pins: 0, charged: 0 }, 'left behind by the closed file');
  }
}

/** Null for a result that is none. */
export function errnoName(result: number): Errno | null {
  if (result >= 0) return null;
  const found = Object.entries(ERRNO).find(([, number]) => number === -result);
  ok(found !== undefined, `${result} is no errno`);
  return found[0] as Errno;
}
