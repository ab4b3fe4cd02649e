import { ensure } from '../error/errno.ts';
import type { DomainOps, NestedDomainOps, StaticDomainOps } from '../ops/domain.ts';
import type { DeviceHandle, IommuDriver } from '../ops/driver.ts';
import type { InvalidationResult, NativeInvalidation } from '../ops/types.ts';
import type { PageRequestHandler } from '../system/page-requests.ts';
import type { PagingDomain } from './paging-domain.ts';
import type { Viommu } from './viommu.ts';

/** What all domains share: who made them and how many attachments (group, PASID) use them. */
export abstract class Domain<O extends DomainOps = DomainOps> {
  readonly ops: O;
  /** The driver that made the domain; only its devices can be attached. */
  readonly owner: IommuDriver;
  /** Takes the page requests made through this domain; null = they are answered INVALID. */
  onPageRequest: PageRequestHandler | null = null;
  #users = 0;
  #freed = false;

  constructor(owner: IommuDriver, ops: O) {
    this.owner = owner;
    this.ops = ops;
  }

  get kind(): O['kind'] {
    return this.ops.kind;
  }

  /** Attachments and objects that refer to this domain. */
  get users(): number {
    return this.#users;
  }

  get freed(): boolean {
    return this.#freed;
  }

  /** For the core's own bookkeeping: one more or one less attachment or dependent object. */
  retain(): void {
    this.#users++;
  }

  release(): void {
    this.#users--;
  }

  /** Gives the domain back. EBUSY while something refers to it; freeing twice is harmless. */
  free(): void {
    if (this.#freed) return;
    ensure(this.#users === 0, 'EBUSY', `the domain still has ${this.#users} user(s)`);
    this.#freed = true;
    this.ops.free();
    this.onFree();
  }

  [Symbol.dispose](): void {
    this.free();
  }

  /** Called once after {@link free}; drops references to other objects. */
  protected onFree(): void {}
}

/** A driver's identity or blocked domain. It is never freed by its users. */
export class StaticDomain extends Domain<StaticDomainOps> {
  override free(): void {}
}

/** A guest's stage 1 over a paging parent. Mapped by the guest; the host only invalidates. */
export class NestedDomain extends Domain<NestedDomainOps> {
  /** The nesting parent: the stage 2 under this domain. */
  readonly parent: PagingDomain;
  readonly viommu: Viommu | null;

  constructor(owner: IommuDriver, ops: NestedDomainOps, parent: PagingDomain, viommu: Viommu | null) {
    super(owner, ops);
    this.parent = parent;
    this.viommu = viommu;
    (viommu ?? parent).retain();
  }

  /**
   * Carries out native invalidation entries, in order, up to the first bad one.
   * EOPNOTSUPP where invalidation goes through the vIOMMU.
   */
  invalidate(request: NativeInvalidation): InvalidationResult {
    const { ops } = this;
    ensure(ops.invalidate !== undefined, 'EOPNOTSUPP', 'this domain is invalidated through its vIOMMU');
    checkInvalidation(request);
    return ops.invalidate(request);
  }

  protected override onFree(): void {
    (this.viommu ?? this.parent).release();
  }
}

/** Limits every native invalidation keeps: EINVAL for a length or count out of range. */
export function checkInvalidation({ entryLength, entryCount, bytes }: NativeInvalidation): void {
  if (entryCount === 0) return;
  ensure(entryLength > 0 && entryLength <= 4096, 'EINVAL', `entry length ${entryLength} is not 1 … 4096`);
  ensure(entryCount <= 1 << 19, 'EINVAL', `${entryCount} entries are more than 2^19`);
  ensure(bytes.length === entryLength * entryCount, 'EINVAL', 'the entries do not fill the buffer');
}

/** A driver's handle of a device, checked to belong to `owner`. */
export function ownHandle(owner: IommuDriver, device: { driver: IommuDriver; handle: DeviceHandle }): DeviceHandle {
  ensure(device.driver === owner, 'EINVAL', 'the device sits behind another IOMMU');
  return device.handle;
}
