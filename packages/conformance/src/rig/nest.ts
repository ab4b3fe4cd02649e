import {
  ALLOC,
  type GuestKit,
  type GuestMemory,
  type GuestStage1,
  type InvalidationResult,
  type NativeData,
  type NativeInvalidation,
  type NestedDomain,
  type PagingDomain,
  PROT,
  type Viommu,
} from '@iommukit/core';
import { ok } from '../expect.ts';
import type { Ram } from './ram.ts';
import type { Rig } from './rig.ts';
import type { RigDevice } from './rig-device.ts';

/** The guest's RAM: one mapping of the parent, above 4 GiB on both sides so that no half of an address is zero. */
const GUEST_BASE = 0x3_4000_0000n;
const GUEST_BYTES = 0x40_0000n;

/** Guest-physical memory over host RAM. */
export class GuestRam implements GuestMemory {
  readonly base: bigint;
  readonly host: bigint;
  readonly bytes = GUEST_BYTES;
  readonly #ram: Ram;
  #next: bigint;

  constructor(ram: Ram, base: bigint, host: bigint) {
    this.#ram = ram;
    this.base = base;
    this.host = host;
    this.#next = base;
  }

  alloc(bytes: number): bigint {
    const size = BigInt(bytes);
    let align = 0x1000n;
    while (align < size) align <<= 1n;
    const gpa = (this.#next + align - 1n) & ~(align - 1n);
    ok(gpa + size <= this.base + GUEST_BYTES, 'the guest has no memory left');
    this.#next = gpa + size;
    this.#ram.write(this.toHost(gpa), new Uint8Array(bytes));
    return gpa;
  }

  write64(gpa: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.#ram.write(this.toHost(gpa), bytes);
  }

  read64(gpa: bigint): bigint {
    return new DataView(this.#ram.read(this.toHost(gpa), 8).buffer).getBigUint64(0, true);
  }

  toHost(gpa: bigint): bigint {
    ok(gpa >= this.base && gpa < this.base + GUEST_BYTES, 'not guest memory');
    return gpa - this.base + this.host;
  }
}

/** One guest: its RAM under a nesting parent, its own table, and the nested domain over both. */
export class Nest {
  readonly parent: PagingDomain;
  readonly viommu: Viommu | null;
  readonly memory: GuestRam;
  readonly stage1: GuestStage1;
  readonly domain: NestedDomain;
  readonly virtualId: bigint;
  readonly kit: GuestKit;
  readonly #owner: RigDevice;

  constructor(rig: Rig, kit: GuestKit, owner: RigDevice, virtualId: bigint) {
    this.kit = kit;
    this.virtualId = virtualId;
    this.#owner = owner;
    this.parent = owner.paging(ALLOC.NEST_PARENT);
    const host = rig.ram.takeHigh(GUEST_BYTES, GUEST_BYTES);
    this.parent.map(GUEST_BASE, host, GUEST_BYTES, PROT.READ | PROT.WRITE | PROT.CACHE);
    this.memory = new GuestRam(rig.ram, GUEST_BASE, host);
    this.viommu =
      kit.viommuType === null ? null : rig.trackViommu(this.parent.allocViommu(owner.device, kit.viommuType));
    this.viommu?.setVirtualId(owner.device, virtualId);
    this.stage1 = kit.createStage1(this.memory, virtualId);
    this.domain = rig.trackNested(this.alloc(this.stage1.data));
  }

  /** A nested domain the way this vendor makes them. */
  alloc(data: NativeData, device: RigDevice = this.#owner): NestedDomain {
    if (this.viommu) return this.viommu.allocNested(device.device, data);
    return this.parent.allocNested(device.device, data);
  }

  invalidate(request: NativeInvalidation): InvalidationResult {
    return this.viommu ? this.viommu.invalidate(request) : this.domain.invalidate(request);
  }

  /** A fresh page of guest RAM mapped at `iova`; returns where it is in host memory. */
  page(iova: bigint, writable = true): bigint {
    const gpa = this.memory.alloc(0x1000);
    this.stage1.map(iova, gpa, writable);
    return this.memory.toHost(gpa);
  }
}
