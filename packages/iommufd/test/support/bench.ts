import { type Device, ERRNO, type Errno, IommuSystem } from '@iommukit/core';
import { PageAllocator, SparseMemory } from '@iommukit/machine';
import {
  COMMANDS,
  type Command,
  DeviceObject,
  IommufdContext,
  IommufdFile,
  SimpleProcess,
  type Struct,
  type StructFields,
  type StructValues,
} from '../../src/index.ts';
import { FakeDriver, type FakeOptions } from './fake-driver.ts';

const RAM = 1n << 40n;

/** One process with `/dev/iommu` open, and a device of a fake unit bound to it. */
export class Bench {
  readonly memory = new SparseMemory();
  readonly pages = new PageAllocator(this.memory, 1n << 30n, RAM);
  readonly process = new SimpleProcess(this.memory, this.pages);
  readonly system = new IommuSystem();
  readonly context = new IommufdContext();
  readonly file = new IommufdFile({ context: this.context });
  readonly driver: FakeDriver;
  readonly device: Device;
  readonly bound: DeviceObject;
  /** Where structures are put. */
  readonly scratch: bigint;
  #nextId = 1;

  constructor(options: FakeOptions = {}) {
    this.driver = new FakeDriver(options);
    this.system.addUnit(this.driver);
    this.device = this.addDevice();
    this.bound = DeviceObject.create(this.context, this.device);
    this.scratch = this.process.alloc(1 << 16);
  }

  addDevice(driver: FakeDriver = this.driver, isolation: string | null = null, extra: object = {}): Device {
    const id = this.#nextId++;
    const common = { pasidBits: 20, ats: false, pri: true, coherent: true, busLimits: [] };
    return this.system.addDevice(driver, { name: `dev${id}`, requesterIds: [id], isolation, ...common, ...extra });
  }

  /** A second unit, and a device behind it bound to the same file. */
  addUnit(options: FakeOptions = {}): { driver: FakeDriver; device: Device; bound: DeviceObject } {
    const driver = new FakeDriver(options);
    this.system.addUnit(driver);
    const device = this.addDevice(driver);
    return { driver, device, bound: DeviceObject.create(this.context, device) };
  }

  /** Writes bytes to the scratch page and issues a raw request. */
  raw(request: number, bytes: Uint8Array, at = this.scratch): number {
    this.process.write(at, bytes);
    return this.file.ioctl(request, at, this.process);
  }

  /** A native command by bytes; result and the structure as it stands afterwards. */
  call<F extends StructFields>(
    struct: Struct<F>,
    values: Partial<StructValues<F>>,
  ): { result: number; out: StructValues<F> } {
    const { request } = commandOf(struct);
    const result = this.raw(request, struct.encode(values));
    const bytes = new Uint8Array(struct.size);
    this.process.read(this.scratch, bytes);
    return { result, out: struct.decode(bytes) };
  }

  /** The same, expected to work. */
  ok<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): StructValues<F> {
    const { result, out } = this.call(struct, values);
    if (result < 0) throw new Error(`${struct.name}: ${errnoName(result)}`);
    return out;
  }

  /** Name of the errno a call answers, or `OK`. */
  errno<F extends StructFields>(struct: Struct<F>, values: Partial<StructValues<F>>): string {
    return errnoName(this.call(struct, values).result);
  }

  /** Everything that must be back at zero when the file is closed. */
  get leftovers(): Record<string, number> {
    return {
      objects: this.context.table.size,
      domains: this.driver.live,
      pins: Number(this.process.pinnedPages),
      user: Number(this.process.accounts.user.pages),
      process: Number(this.process.accounts.process.pages),
    };
  }

  close(): Record<string, number> {
    this.bound.unbind();
    this.file.close();
    return this.leftovers;
  }
}

export const NOTHING_LEFT = { objects: 0, domains: 0, pins: 0, user: 0, process: 0 };

export function commandOf(struct: { readonly name: string }): Command {
  const found = COMMANDS.find((command) => command.struct.name === struct.name);
  if (!found) throw new Error(`no command for ${struct.name}`);
  return found;
}

export function errnoName(result: number): Errno | 'OK' {
  if (result >= 0) return 'OK';
  const found = Object.entries(ERRNO).find(([, number]) => number === -result);
  return (found?.[0] as Errno) ?? (`errno ${-result}` as Errno);
}
