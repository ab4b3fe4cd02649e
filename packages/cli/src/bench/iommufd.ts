import { ACCESS, type VendorPlugin } from '@iommukit/core';
import { DeviceObject, IommufdFile, SimpleProcess, type Struct, type StructFields, uapi } from '@iommukit/iommufd';
import { PageAllocator } from '@iommukit/machine';
import type { Figure, FigureKind } from './figures.ts';
import { bareFill, bareScan } from './limits.ts';
import { makeRig, type Rig } from './rig.ts';

/** Memory of the program, away from what drivers take. */
const USER_START = 0x2_0000_0000n;
const USER_LAST = 0x2_ffff_ffffn;

const IOAS_MAP = 0x3b85;
const IOAS_UNMAP = 0x3b86;
const GET_DIRTY_BITMAP = 0x3b8c;
const FIXED_RW = 7;
const DIRTY_TRACKING = 2;
const NO_CLEAR = 1;
const IOVA = 0x4000_0000n;

/** The user API by bytes over a vendor's unit: from the ioctl down to the tables and the invalidation. */
export const IOCTL_FIGURES: readonly FigureKind[] = [
  {
    name: 'ioctl-map-unmap-4k',
    title: 'IOAS_MAP and IOAS_UNMAP of a page, by bytes',
    translates: false,
    make: (plugin) => mapUnmap(plugin, 1n << 12n),
  },
  {
    name: 'ioctl-map-unmap-2m',
    title: 'IOAS_MAP and IOAS_UNMAP of 2 MiB, by bytes',
    translates: false,
    make: (plugin) => mapUnmap(plugin, 1n << 21n),
  },
  {
    name: 'ioctl-dirty-bitmap',
    title: 'GET_DIRTY_BITMAP of 1 TiB of written 2 MiB pages',
    translates: false,
    make: dirtyBitmap,
  },
];

/** A program with the file open and the rig's device bound. */
class Program {
  readonly user: SimpleProcess;
  readonly file = new IommufdFile();
  readonly device: DeviceObject;
  readonly #at: bigint;

  constructor({ machine, device }: Rig) {
    this.user = new SimpleProcess(machine.memory, new PageAllocator(machine.memory, USER_START, USER_LAST));
    this.device = DeviceObject.create(this.file.context, device);
    this.#at = this.user.alloc(4096);
  }

  /** One ioctl; the structure is written to the program's memory and read from there, as a program's would be. */
  call(request: number, bytes: Uint8Array): void {
    this.user.write(this.#at, bytes);
    const result = this.file.ioctl(request, this.#at, this.user);
    if (result < 0) throw new Error(`ioctl 0x${request.toString(16)}: errno ${-result}`);
  }

  /** The same with the answer. */
  ask<F extends StructFields>(request: number, struct: Struct<F>, values: Parameters<Struct<F>['encode']>[0]) {
    const bytes = struct.encode(values);
    this.call(request, bytes);
    this.user.read(this.#at, bytes);
    return struct.decode(bytes);
  }

  ioas(): number {
    return this.ask(0x3b81, uapi.IOAS_ALLOC, {}).out_ioas_id;
  }
}

function mapUnmap(plugin: VendorPlugin, length: bigint): Figure {
  const program = new Program(makeRig(plugin));
  const ioas_id = program.ioas();
  program.device.attach(ioas_id);
  const user_va = program.user.alloc(Number(length));
  const map = uapi.IOAS_MAP.encode({ flags: FIXED_RW, ioas_id, user_va, length, iova: IOVA });
  const unmap = uapi.IOAS_UNMAP.encode({ ioas_id, iova: IOVA, length });
  const run = (ops: number) => {
    for (let i = 0; i < ops; i++) {
      program.call(IOAS_MAP, map);
      program.call(IOAS_UNMAP, unmap);
    }
  };
  return { work: { run }, limit: bareFill(1) };
}

const LEAF_LG2 = 21n;
const LEAF = 1n << LEAF_LG2;
const LEAVES = 1 << 19;
/** Also where it is mapped: the first one has holes for interrupts. */
const TIB = BigInt(LEAVES) << LEAF_LG2;
const TIB_HI = 1 << 8;
/** Where the terabyte lies in the program; in the host it lies one leaf further, which no larger leaf can map. */
const FAR = 1n << 41n;

function dirtyBitmap(plugin: VendorPlugin): Figure | null {
  const rig = makeRig(plugin);
  if (!rig.unit.driver.capabilities.has('dirty-tracking')) return null;
  const program = new Program(rig);
  const { user, device } = program;
  const ioas_id = program.ioas();
  const alloc = { flags: DIRTY_TRACKING, dev_id: device.id, pt_id: ioas_id };
  const hwpt_id = program.ask(0x3b89, uapi.HWPT_ALLOC, alloc).out_hwpt_id;
  device.attach(hwpt_id);
  user.map(FAR, TIB, FAR + LEAF);
  program.ask(IOAS_MAP, uapi.IOAS_MAP, { flags: FIXED_RW, ioas_id, user_va: FAR, length: TIB, iova: TIB });
  program.ask(0x3b8b, uapi.HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags: 1 });
  for (let leaf = 0; leaf < LEAVES; leaf++) rig.endpoint.translate(TIB_HI + (leaf >>> 11), leaf << 21, ACCESS.WRITE);
  const data = user.alloc(LEAVES / 8);
  const range = { iova: TIB, length: TIB, page_size: LEAF, data };
  const request = uapi.HWPT_GET_DIRTY_BITMAP.encode({ hwpt_id, flags: NO_CLEAR, ...range });
  const run = (ops: number) => {
    for (let i = 0; i < ops; i++) program.call(GET_DIRTY_BITMAP, request);
  };
  run(1);
  const bits = new Uint8Array(LEAVES / 8);
  user.read(data, bits);
  if (bits.some((byte) => byte !== 0xff)) throw new Error(`${plugin.id}: a written page is not in the bitmap`);
  return { work: { run, opsPerSample: 1 }, limit: bareScan(LEAVES), pages: LEAVES };
}
