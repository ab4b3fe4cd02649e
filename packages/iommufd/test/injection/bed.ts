import type { VendorConfig, VendorPlugin } from '@iommukit/core';
import { type Device, type GuestKit, type GuestMemory, type IommuDriver, IommuSystem, OUTCOME } from '@iommukit/core';
import { type Endpoint, Machine, PageAllocator, SparseMemory } from '@iommukit/machine';
import { SimpleProcess } from '../../src/index.ts';
import { FAKE, FakeDriver } from '../support/fake-driver.ts';

/** A process whose memory stops taking writes at the nth write of a call. */
export class FlakyProcess extends SimpleProcess {
  #left = 0;
  #writes = 0;

  /** The `n`th write from now on fails, once; 0: none does. */
  failWrite(n: number): void {
    this.#left = n;
    this.#writes = 0;
  }

  get writes(): number {
    return this.#writes;
  }

  get armed(): boolean {
    return this.#left > 0;
  }

  override write(address: bigint, bytes: Uint8Array): boolean {
    this.#writes++;
    if (this.#left > 0 && --this.#left === 0) return false;
    return super.write(address, bytes);
  }
}

/** A device, and what a DMA of it meets now. */
export interface Probe {
  readonly device: Device;
  /** Where a read of `iova` goes; null: refused. */
  look(iova: bigint, pasid?: number): bigint | null;
}

/** What a script runs on: one unit with devices, and a process. It outlives many files. */
export interface Bed {
  readonly name: string;
  readonly process: FlakyProcess;
  /** `plain` and `other` are groups of their own, `twin` and `sibling` one; `far` sits behind another unit. */
  readonly devices: Readonly<Record<'plain' | 'other' | 'twin' | 'sibling' | 'far', Probe>>;
  readonly guest: GuestKit | null;
  /** Native things the drivers hold now: table and queue pages, or objects of the fake. */
  native(): number;
  /** Makes the drivers' own nth allocation fail; null calls it off. Absent: they allocate nothing. */
  failNative?(n: number | null): void;
  readonly able: {
    readonly pasid: boolean;
    readonly dirty: boolean;
    readonly nest: boolean;
    /** The type of hardware queues, where there are any. */
    readonly queue: number | null;
    readonly flags: boolean;
  };
}

const common = { pasidBits: 8, ats: false, pri: false, coherent: true, busLimits: [] };
const NAMES = ['plain', 'other', 'twin', 'sibling'] as const;

const descriptionOf = (name: string, id: number) => ({
  ...common,
  name,
  requesterIds: [id],
  isolation: name === 'twin' || name === 'sibling' ? 'card' : null,
});

/** A vendor's driver over its hardware. */
export function vendorBed(plugin: VendorPlugin, config: VendorConfig): Bed {
  const machine = new Machine();
  const system = new IommuSystem();
  const [unit, second] = [machine.addUnit(plugin, config), machine.addUnit(plugin, config)];
  for (const { driver } of [unit, second]) system.addUnit(driver);
  const probe = (name: string, id: number, at = unit): Probe => {
    const endpoint = at.endpoint(descriptionOf(name, id));
    return { device: system.addDevice(at.driver, endpoint.description), look: lookThrough(endpoint, machine) };
  };
  const has = (capability: Parameters<typeof unit.driver.capabilities.has>[0]) =>
    unit.driver.capabilities.has(capability);
  return {
    name: `${plugin.id} ${config.name}`,
    process: new FlakyProcess(machine.memory, new PageAllocator(machine.memory, 1n << 33n, (1n << 34n) - 1n)),
    devices: {
      plain: probe('plain', 0x10),
      other: probe('other', 0x18),
      twin: probe('twin', 0x20),
      sibling: probe('sibling', 0x21),
      far: probe('far', 0x10, second),
    },
    guest: plugin.guest ?? null,
    native: () => machine.pages.livePages,
    failNative: (n) => machine.pages.failNth(n),
    able: {
      pasid: has('pasid'),
      dirty: has('dirty-tracking'),
      nest: has('nest-parent'),
      queue: null,
      flags: unit.driver.plainPagingOnly !== true,
    },
  };
}

function lookThrough(endpoint: Endpoint, machine: Machine): Probe['look'] {
  return (iova, pasid) => {
    const outcome = endpoint.translate(
      Number(BigInt.asIntN(32, iova >> 32n)),
      Number(BigInt.asIntN(32, iova)),
      0,
      pasid,
    );
    const { paHi, paLo } = endpoint.answer;
    machine.runUntilIdle();
    return outcome === OUTCOME.FAULT ? null : (BigInt(paHi >>> 0) << 32n) | BigInt(paLo >>> 0);
  };
}

/** The fake, which has all the features and no hardware. */
export function fakeBed(): Bed {
  const memory = new SparseMemory();
  const system = new IommuSystem();
  const drivers = [0, 1].map(() => new FakeDriver({ dirty: true, maxPasids: 256, coherent: true }));
  for (const driver of drivers) system.addUnit(driver);
  const probe = (name: string, id: number, driver: IommuDriver = drivers[0]!): Probe => {
    const device = system.addDevice(driver, descriptionOf(name, id));
    return { device, look: (iova, pasid = 0) => lookUp(device, iova, pasid) };
  };
  const [plain, other, twin, sibling] = NAMES.map((name, i) => probe(name, i + 1)) as [Probe, Probe, Probe, Probe];
  return {
    name: 'fake',
    process: new FlakyProcess(memory, new PageAllocator(memory, 1n << 30n, 1n << 34n)),
    devices: { plain, other, twin, sibling, far: probe('far', 1, drivers[1]!) },
    guest: fakeGuest,
    native: () => drivers.reduce((sum, { live }) => sum + live, 0),
    able: { pasid: true, dirty: true, nest: true, queue: FAKE.QUEUE, flags: true },
  };
}

function lookUp({ group }: Device, iova: bigint, pasid: number): bigint | null {
  const { ops } = group.domainOf(pasid);
  return ops.kind === 'paging' ? ops.iovaToPhys(iova) : null;
}

const fakeGuest: GuestKit = {
  viommuType: FAKE.VIOMMU,
  createStage1: () => ({
    data: { type: FAKE.HWPT_DATA, bytes: new Uint8Array(8) },
    map() {},
    unmap() {},
    invalidatePage: () => ({ type: FAKE.INVALIDATE, entryLength: 4, entryCount: 1, bytes: new Uint8Array(4) }),
    invalidateAll: () => ({ type: FAKE.INVALIDATE, entryLength: 4, entryCount: 1, bytes: new Uint8Array(4) }),
  }),
  badNestedData: () => [],
  badInvalidations: () => [],
};

/** The process' memory as a guest's. */
export function guestMemory(process: SimpleProcess, va: bigint, gpaBase: bigint): GuestMemory {
  let next = gpaBase;
  const host = (gpa: bigint) => va + (gpa - gpaBase);
  return {
    alloc(bytes) {
      const align = BigInt(2 ** Math.ceil(Math.log2(Math.max(bytes, 4096))));
      const at = (next + align - 1n) & -align;
      next = at + align;
      return at;
    },
    write64: (gpa, value) => void process.write(host(gpa), new Uint8Array(BigUint64Array.of(value).buffer)),
    read64(gpa) {
      const bytes = new Uint8Array(8);
      process.read(host(gpa), bytes);
      return new DataView(bytes.buffer).getBigUint64(0, true);
    },
  };
}
