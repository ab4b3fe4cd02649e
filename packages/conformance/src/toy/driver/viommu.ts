import {
  type DeviceHandle,
  ensure,
  type InvalidationResult,
  type NativeData,
  type NativeInvalidation,
  type NestedDomainOps,
  type ViommuOps,
} from '@iommukit/core';
import { carryOut, ToyNestedDomain } from './nested-domain.ts';
import type { ToyPagingDomain } from './paging-domain.ts';

/** A guest's view of the unit: which of its ids means which device, and the nested domains made for each. */
export class ToyViommu implements ViommuOps {
  readonly #parent: ToyPagingDomain;
  readonly #byId = new Map<bigint, DeviceHandle>();
  readonly #domains = new Map<DeviceHandle, Set<ToyNestedDomain>>();

  constructor(parent: ToyPagingDomain) {
    this.#parent = parent;
  }

  /** EOPNOTSUPP: any flag; EINVAL, ENOMEM, ENOSPC. */
  allocNested(device: DeviceHandle, flags: number, data: NativeData): NestedDomainOps {
    ensure(flags === 0, 'EOPNOTSUPP', `nested domains take no flag 0x${flags.toString(16)}`);
    const made = this.#domains.get(device) ?? new Set();
    const domain = new Member(this.#parent, data, made);
    made.add(domain);
    this.#domains.set(device, made);
    return domain;
  }

  setVirtualId(device: DeviceHandle, virtualId: bigint): void {
    ensure(virtualId >= 0n && virtualId < 1n << 16n, 'EINVAL', 'virtual ids have 16 bits');
    this.#byId.set(virtualId, device);
  }

  clearVirtualId(device: DeviceHandle): void {
    for (const [id, owner] of this.#byId) if (owner === device) this.#byId.delete(id);
  }

  invalidate(request: NativeInvalidation): InvalidationResult {
    return this.#parent.unit.gate.run(() => carryOut(request, (vdevice) => this.#domainsOf(BigInt(vdevice))));
  }

  free(): void {}

  #domainsOf(virtualId: bigint): readonly ToyNestedDomain[] {
    const device = this.#byId.get(virtualId);
    return device === undefined ? [] : [...(this.#domains.get(device) ?? [])];
  }
}

/** A domain that leaves its vIOMMU's list when it is freed. */
class Member extends ToyNestedDomain {
  readonly #list: Set<ToyNestedDomain>;

  constructor(parent: ToyPagingDomain, data: NativeData, list: Set<ToyNestedDomain>) {
    super(parent, data);
    this.#list = list;
  }

  override free(): void {
    this.#list.delete(this);
    super.free();
  }
}
