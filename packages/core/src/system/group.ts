import type { Domain, StaticDomain } from '../domain/domain.ts';
import { ensure } from '../error/errno.ts';
import { mergeReservedRegions } from '../iova/reserved.ts';
import type { IommuDriver } from '../ops/driver.ts';
import type { ReservedRegion } from '../ops/types.ts';
import type { Device } from './device.ts';

/**
 * The smallest set of devices the unit can isolate; a domain is always set for all of them. Nobody's group sits on the
 * blocked domain. PASID 0 stands for requests without a PASID.
 */
export class Group {
  readonly driver: IommuDriver;
  readonly identity: StaticDomain;
  readonly blocked: StaticDomain;
  readonly devices: Device[] = [];
  /** Current domain by PASID; what is not here is blocked. */
  readonly #attached = new Map<number, Domain>();

  constructor(driver: IommuDriver, identity: StaticDomain, blocked: StaticDomain) {
    this.driver = driver;
    this.identity = identity;
    this.blocked = blocked;
  }

  get domain(): Domain {
    return this.domainOf(0);
  }

  domainOf(pasid: number): Domain {
    return this.#attached.get(pasid) ?? this.blocked;
  }

  /** PASIDs (≥ 1) that have a domain, ascending. */
  get pasids(): number[] {
    return [...this.#attached.keys()].filter((pasid) => pasid > 0).sort((a, b) => a - b);
  }

  /** Each device's regions merged into the list a person sees. */
  reservedRegions(): ReservedRegion[] {
    return mergeReservedRegions(this.devices.flatMap((device) => device.reservedRegions()));
  }

  /**
   * Attaches `domain` to every device. EBUSY: something is attached already (see {@link replace}); EINVAL: a domain of
   * another unit, one that does not fit some device, or a PASID out of range; EOPNOTSUPP: no PASIDs here.
   * On failure the group is as before.
   */
  attach(domain: Domain, pasid = 0): void {
    this.#check(domain, pasid);
    ensure(!this.#attached.has(pasid), 'EBUSY', 'a domain is attached already');
    this.#switch(domain, pasid);
  }

  /** Goes from the attached domain to another without a blocked window. EINVAL: nothing is attached. Same domain: no-op. */
  replace(domain: Domain, pasid = 0): void {
    this.#check(domain, pasid);
    ensure(this.#attached.has(pasid), 'EINVAL', 'no domain is attached');
    if (this.#attached.get(pasid) !== domain) this.#switch(domain, pasid);
  }

  /** Blocks the group's requests (or those of one PASID). Nothing attached: nothing happens. */
  detach(pasid = 0): void {
    if (this.#attached.has(pasid)) this.#switch(this.blocked, pasid);
  }

  #check(domain: Domain, pasid: number): void {
    ensure(!domain.freed, 'ENOENT', 'the domain was freed');
    if (pasid !== 0) this.#checkPasid(domain, pasid);
    ensure(domain.owner === this.driver, 'EINVAL', 'the domain belongs to another IOMMU');
  }

  #checkPasid(domain: Domain, pasid: number): void {
    const able = domain.ops.attachPasid !== undefined && this.blocked.ops.attachPasid !== undefined;
    ensure(able, 'EOPNOTSUPP', 'this domain cannot be attached to a PASID');
    const limit = Math.min(...this.devices.map((device) => device.maxPasids));
    ensure(Number.isInteger(pasid) && pasid > 0 && pasid < limit, 'EINVAL', `PASID ${pasid} is not below ${limit}`);
  }

  #switch(domain: Domain, pasid: number): void {
    const old = this.domainOf(pasid);
    const done: Device[] = [];
    try {
      for (const device of this.devices) {
        point(device, domain, pasid, old);
        done.push(device);
      }
    } catch (error) {
      for (const device of done.reverse()) point(device, old, pasid, domain);
      throw error;
    }
    this.#record(domain, pasid, old);
  }

  #record(domain: Domain, pasid: number, old: Domain): void {
    if (domain === this.blocked) this.#attached.delete(pasid);
    else this.#attached.set(pasid, domain);
    domain.retain();
    old.release();
  }
}

function point(device: Device, domain: Domain, pasid: number, old: Domain): void {
  if (pasid === 0) domain.ops.attach(device.handle, old.ops);
  else domain.ops.attachPasid!(device.handle, pasid, old.ops);
}
