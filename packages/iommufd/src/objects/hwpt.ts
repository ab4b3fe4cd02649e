import { ALLOC, type Device, ensure, type NativeData, type NestedDomain, type PagingDomain } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { Ioas } from '../ioas/ioas.ts';
import type { FaultQueue } from './fault-queue.ts';
import { IommufdObject } from './object.ts';
import type { ViommuObject } from './viommu.ts';

/** What HWPT objects share: a domain a device can be attached to, and where its page faults go. */
abstract class Hwpt extends IommufdObject {
  #fault: FaultQueue | null = null;
  /** May share a device with PASID attachments. */
  readonly pasidCompatible: boolean;
  abstract readonly domain: PagingDomain | NestedDomain;
  /** The paging HWPT that translates last: this one, or the nesting parent. */
  abstract readonly paging: HwptPaging;

  constructor(context: IommufdContext, pasidCompatible: boolean) {
    super(context);
    context.injector.use('alloc');
    this.pasidCompatible = pasidCompatible;
  }

  /** Where page faults of its attachments go; null = nobody takes them. */
  get fault(): FaultQueue | null {
    return this.#fault;
  }

  setFault(fault: FaultQueue): void {
    this.#fault = fault;
    fault.retain();
    this.domain.onPageRequest = (group) => fault.take(group);
  }
}

/** A paging domain over an IOAS; it mirrors every mapping of it. */
export class HwptPaging extends Hwpt {
  readonly type = 'hwpt-paging';
  readonly ioas: Ioas;
  readonly domain: PagingDomain;
  /** Made by attaching to an IOAS; goes when its last attachment goes. */
  readonly automatic: boolean;

  private constructor(ioas: Ioas, domain: PagingDomain, automatic: boolean) {
    super(ioas.context, (domain.flags & ALLOC.PASID) !== 0);
    this.ioas = ioas;
    this.domain = domain;
    this.automatic = automatic;
  }

  get paging(): HwptPaging {
    return this;
  }

  get nestParent(): boolean {
    return this.domain.ops.nestParent;
  }

  /** A domain for `device`, coherency fixed, not yet a mirror of the IOAS. EOPNOTSUPP, ENOMEM, EINVAL of the driver. */
  static create(ioas: Ioas, device: Device, options: HwptOptions = {}): HwptPaging {
    const { flags = 0, data = null, automatic = false } = options;
    ioas.context.injector.use('vendor');
    const domain = device.allocPaging(flags, data);
    try {
      if (device.capable('enforce-cache-coherency')) {
        ioas.context.injector.use('vendor');
        ensure(domain.enforceCacheCoherency(), 'EINVAL', 'the driver cannot keep its word on coherency');
      }
      const hwpt = new HwptPaging(ioas, domain, automatic);
      ioas.retain();
      return hwpt;
    } catch (error) {
      domain.free();
      throw error;
    }
  }

  /** Enters every mapping of the IOAS. See {@link Ioas.addDomain}. */
  fill(): void {
    this.ioas.addDomain(this);
  }

  dispose(): void {
    if (this.ioas.domains.has(this)) this.ioas.removeDomain(this);
    this.domain.free();
    this.ioas.release();
    this.fault?.release();
  }
}

export interface HwptOptions {
  readonly flags?: number;
  readonly data?: NativeData | null;
  readonly automatic?: boolean;
}

/** A guest's stage 1 over a nesting parent or a vIOMMU. */
export class HwptNested extends Hwpt {
  readonly type = 'hwpt-nested';
  readonly domain: NestedDomain;
  /** What it was made on; exactly that is kept from being destroyed. */
  readonly base: HwptPaging | ViommuObject;

  private constructor(base: HwptPaging | ViommuObject, domain: NestedDomain, flags: number) {
    super(base.context, (flags & ALLOC.PASID) !== 0);
    this.base = base;
    this.domain = domain;
    base.retain();
  }

  get paging(): HwptPaging {
    return this.base.type === 'viommu' ? this.base.parent : this.base;
  }

  get viommu(): ViommuObject | null {
    return this.base.type === 'viommu' ? this.base : null;
  }

  /** Takes a fresh domain over; frees it when that fails. */
  static create(base: HwptPaging | ViommuObject, domain: NestedDomain, flags: number): HwptNested {
    try {
      return new HwptNested(base, domain, flags);
    } catch (error) {
      domain.free();
      throw error;
    }
  }

  dispose(): void {
    this.domain.free();
    this.base.release();
    this.fault?.release();
  }
}

export type AnyHwpt = HwptPaging | HwptNested;
