import { isIommuError } from '@iommukit/core';
import { expect } from 'vitest';
import {
  type AnyHwpt,
  type Area,
  COMMANDS,
  DeviceObject,
  type Ioas,
  IommufdContext,
  IommufdFile,
  type OpenFile,
  type Struct,
  type StructFields,
  type StructValues,
  uapi,
} from '../../src/index.ts';
import { errnoName } from '../support/bench.ts';
import type { Bed } from './bed.ts';

/** Stops a script at the call that was made to fail. */
export class Stopped extends Error {}

/** What may go wrong while a script runs. */
export interface Trouble {
  /** The nth use of any failure point of iommufd; 0: none. */
  readonly use?: number;
  /** The nth page allocation of a driver. */
  readonly native?: number;
  /** The nth write to the caller's memory inside a call. */
  readonly write?: number;
}

/** These leave what they did in place when their reply cannot be written; VFIO's attach leaves the device detached. */
const STAYS = new Set([
  'iommu_ioas_map',
  'iommu_ioas_map_file',
  'iommu_ioas_copy',
  'iommu_ioas_unmap',
  'iommu_option',
  'VFIO attach',
  'VFIO unmap',
]);

export const BASE = 0x4000_0000n;
export const PAGE = 0x1000n;
const LOOKS = [BASE, BASE + PAGE, BASE + PAGE * 2n, BASE + PAGE * 4n, BASE + PAGE * 8n, BASE + 0x20_0000n];

/** One open file on a bed. Every step that fails must leave all as it was. */
export class Run {
  readonly bed: Bed;
  readonly context = new IommufdContext();
  readonly file = new IommufdFile({ context: this.context });
  readonly va: bigint;
  readonly #scratch: bigint;
  readonly #trouble: Trouble;
  readonly #fds: number[] = [];
  readonly #bound: DeviceObject[] = [];
  readonly #closers: (() => void)[] = [];
  /** Writes inside calls so far, and whether the one to fail came. */
  writes = 0;
  wrote = false;

  constructor(bed: Bed, trouble: Trouble) {
    this.bed = bed;
    this.#trouble = trouble;
    this.#scratch = bed.process.alloc(1 << 15);
    this.va = bed.process.alloc(1 << 21);
    this.context.injector.failNth(trouble.use ?? 0);
    bed.failNative?.(trouble.native ?? null);
  }

  bind(name: keyof Bed['devices']): DeviceObject {
    const device = this.attempt(() => DeviceObject.create(this.context, this.bed.devices[name].device));
    this.#bound.push(device);
    return device;
  }

  /** Closed at the end, after the script's own descriptors. */
  atEnd(close: () => void): void {
    this.#closers.push(close);
  }

  put(bytes: Uint8Array, offset = 0x1000): bigint {
    const at = this.#scratch + BigInt(offset);
    this.bed.process.write(at, bytes);
    return at;
  }

  step<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): StructValues<F> {
    const { request } = COMMANDS.find((command) => command.struct.name === struct.name)!;
    const at = this.put(struct.encode(values), 0);
    this.call(struct.name, this.file, request, at);
    const bytes = new Uint8Array(struct.size);
    this.bed.process.read(at, bytes);
    return struct.decode(bytes);
  }

  /** A call on any file. */
  call(what: string, file: OpenFile, request: number, at: bigint): number {
    const { process } = this.bed;
    const before = this.state;
    const nth = this.#trouble.write ? this.#trouble.write - this.writes : 0;
    process.failWrite(nth > 0 ? nth : 0);
    const result = file.ioctl(request, at, process);
    this.writes += process.writes;
    this.wrote ||= nth > 0 && !process.armed;
    process.failWrite(0);
    if (result >= 0) return result;
    this.#failed(what, errnoName(result), before);
  }

  /** What is no ioctl of a file. */
  attempt<T>(run: () => T): T {
    const before = this.state;
    try {
      return run();
    } catch (error) {
      if (!isIommuError(error)) throw error;
      this.#failed(run.toString(), error.errno, before);
    }
  }

  #failed(what: string, errno: string, before: unknown): never {
    expect(['ENOMEM', 'EFAULT'], what).toContain(errno);
    if (!(this.wrote && STAYS.has(what))) expect(this.state, what).toEqual(before);
    throw new Stopped(`${what}: ${errno}`);
  }

  /** Objects, mappings, pins, what is attached, and what the hardware does with DMA. */
  get state(): unknown {
    const { process, devices } = this.bed;
    const looks = Object.entries(devices).map(([name, { device, look }]) => {
      const pasids = [0, ...device.group.pasids];
      return { name, pasids, at: pasids.map((pasid) => LOOKS.map((iova) => look(iova, pasid || undefined))) };
    });
    return {
      objects: this.context.table.objects.map(({ id, type, users }) => `${id} ${type} ${users}`),
      spaces: this.context.table.objects.flatMap((object) => (object.type === 'ioas' ? [spaceOf(object as Ioas)] : [])),
      tracking: this.context.table.objects.flatMap((object) =>
        object.type === 'hwpt-paging' ? [(object as AnyHwpt).paging.domain.tracksDirty] : [],
      ),
      pins: process.pinnedPages,
      charged: [process.accounts.user.pages, process.accounts.process.pages],
      mode: this.context.accountMode,
      compat: this.context.compatIoas?.id,
      native: this.bed.native(),
      looks,
    };
  }

  fd(fd: number): OpenFile {
    this.#fds.push(fd);
    const target = this.bed.process.file(fd);
    if (target.kind !== 'ours') throw new Error('not a file of ours');
    return target.file;
  }

  ioas(): number {
    return this.step(uapi.IOAS_ALLOC, {}).out_ioas_id;
  }

  hwpt({ id }: DeviceObject, pt_id: number, values: Partial<StructValues<typeof uapi.HWPT_ALLOC.fields>> = {}): number {
    return this.step(uapi.HWPT_ALLOC, { dev_id: id, pt_id, ...values }).out_hwpt_id;
  }

  map(ioas_id: number, iova: bigint, length: bigint, va = this.va): void {
    this.step(uapi.IOAS_MAP, { ioas_id, flags: 7, user_va: va, length, iova });
  }

  /** Lets everything go; what is left is the caller's to look at. */
  close(): void {
    this.context.injector.failNth(0);
    this.bed.failNative?.(null);
    for (const close of this.#closers) close();
    for (const fd of openOnes(this.bed)) this.bed.process.closeFd(fd);
    for (const object of this.context.table.objects) if (object instanceof DeviceObject) object.unbind();
    this.file.close();
  }

  /** What must be nothing after {@link close}. */
  get leftovers(): Record<string, unknown> {
    const { process } = this.bed;
    return {
      closed: this.context.closed,
      objects: this.context.table.size,
      pins: process.pinnedPages,
      charged: process.accounts.user.pages + process.accounts.process.pages,
    };
  }
}

export const NOTHING = { closed: true, objects: 0, pins: 0n, charged: 0n };

function openOnes({ process }: Bed): number[] {
  return Array.from({ length: 30 }, (_, i) => i + 3).filter((fd) => {
    try {
      process.file(fd);
      return true;
    } catch {
      return false;
    }
  });
}

const spaceOf = ({ space, hugePages, domains, accesses }: Ioas) => ({
  areas: joined([...space.areas]),
  open: space.usableRanges,
  allowed: space.allowed,
  alignment: space.alignment,
  hugePages,
  users: [domains.size, accesses.size],
});

/** Two halves of a mapping that was cut are the same as before: a cut may stay when the call that asked for it fails. */
function joined(areas: readonly Area[]): object[] {
  const out: { start: bigint; last: bigint; offset: bigint; pages: object; pins: number; locks: number }[] = [];
  for (const { start, last, offset, pages, pins, locks } of areas) {
    const before = out.at(-1);
    const goesOn =
      before?.pages === pages && before.last + 1n === start && before.offset + start - before.start === offset;
    if (goesOn) before.last = last;
    else out.push({ start, last, offset, pages, pins, locks });
  }
  return out.map(({ pages: _, ...rest }) => rest);
}
