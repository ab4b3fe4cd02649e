import { ensure } from '../error/errno.ts';
import type { ViommuOps } from '../ops/domain.ts';
import type { DeviceHandle, IommuDriver } from '../ops/driver.ts';
import type { InvalidationResult, NativeData, NativeInvalidation } from '../ops/types.ts';
import { checkInvalidation, NestedDomain, ownHandle } from './domain.ts';
import type { PagingDomain } from './paging-domain.ts';

type OwnedDevice = { readonly driver: IommuDriver; readonly handle: DeviceHandle };

/** A slice of a physical IOMMU handed to one guest: it knows the guest's device ids and takes its native commands. */
export class Viommu {
  readonly owner: IommuDriver;
  readonly ops: ViommuOps;
  readonly parent: PagingDomain;
  #users = 0;
  readonly #virtualIds = new Map<OwnedDevice, bigint>();

  constructor(owner: IommuDriver, ops: ViommuOps, parent: PagingDomain) {
    this.owner = owner;
    this.ops = ops;
    this.parent = parent;
    parent.retain();
  }

  retain(): void {
    this.#users++;
  }

  release(): void {
    this.#users--;
  }

  /** A nested domain from the guest's own entry. EINVAL: device of another unit; else as the vendor says. */
  allocNested(device: OwnedDevice, data: NativeData, flags = 0): NestedDomain {
    const ops = this.ops.allocNested(ownHandle(this.owner, device), flags, data);
    return new NestedDomain(this.owner, ops, this.parent, this);
  }

  /** Says which id the guest uses for `device`. EEXIST: the device has one, or the id is taken; EINVAL: other unit. */
  setVirtualId(device: OwnedDevice, virtualId: bigint): void {
    const handle = ownHandle(this.owner, device);
    ensure(!this.#virtualIds.has(device), 'EEXIST', 'the device already has a virtual id');
    for (const taken of this.#virtualIds.values())
      ensure(taken !== virtualId, 'EEXIST', `virtual id ${virtualId} is taken`);
    this.ops.setVirtualId(handle, virtualId);
    this.#virtualIds.set(device, virtualId);
  }

  clearVirtualId(device: OwnedDevice): void {
    ensure(this.#virtualIds.delete(device), 'ENOENT', 'the device has no virtual id');
    this.ops.clearVirtualId(device.handle);
  }

  /** Carries out the guest's native commands, in order, up to the first bad one. */
  invalidate(request: NativeInvalidation): InvalidationResult {
    checkInvalidation(request);
    return this.ops.invalidate(request);
  }

  /** EBUSY while nested domains or virtual ids hang on it. */
  free(): void {
    ensure(this.#users === 0 && this.#virtualIds.size === 0, 'EBUSY', 'the vIOMMU is in use');
    this.ops.free();
    this.parent.release();
  }
}
