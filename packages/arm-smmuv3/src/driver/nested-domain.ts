import { type DeviceHandle, ensure, type NestedDomainOps } from '@iommukit/core';
import { attachDomain } from './attach.ts';
import type { NestedConfig } from './guest-ste.ts';
import { asMaster, type Master, type SmmuDomain, type TagHolder } from './master.ts';
import { abortSte, nestedSte, type Stage2Ref, stage2Ste } from './ste.ts';

/** What a nested domain needs of its virtual machine. */
export interface NestedHost {
  readonly parent: TagHolder & { checkDevice(master: Master): void; stage2Ref(): Stage2Ref };
  /** The device has a virtual StreamID. */
  knows(master: Master): boolean;
}

/** A guest's STE over the stage 2 of its virtual machine. */
export class NestedDomain implements NestedDomainOps, SmmuDomain {
  readonly kind = 'nested';
  readonly contexts = 'none';
  readonly host: NestedHost;
  private readonly config: NestedConfig;
  private readonly guest: Uint32Array;

  /** `guest` holds words 0 and 1 of the guest's STE: only what a guest may set, without EATS. */
  constructor(host: NestedHost, config: NestedConfig, guest: Uint32Array) {
    this.host = host;
    this.config = config;
    this.guest = guest;
  }

  get holder(): TagHolder {
    return this.host.parent;
  }

  attach(device: DeviceHandle): void {
    attachDomain(asMaster(device), this);
  }

  /** EINVAL as for the parent; ENOENT: a stage 1 whose CD invalidations could not be aimed at the device. */
  checkDevice(master: Master): void {
    this.host.parent.checkDevice(master);
    const aimed = this.config !== 'stage1' || this.host.knows(master);
    ensure(aimed, 'ENOENT', 'the device has no virtual StreamID on this vIOMMU');
  }

  /** A guest that refuses or bypasses its stage 1 needs nothing of its own entry. */
  ste(master: Master): Uint32Array {
    const { features } = master.smmu;
    if (this.config === 'abort') return abortSte();
    const stage2 = this.host.parent.stage2Ref();
    return this.config === 'bypass' ? stage2Ste(features, stage2) : nestedSte(features, stage2, this.guest);
  }

  free(): void {}
}
