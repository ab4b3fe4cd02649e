import type { DeviceHandle, StaticDomainOps } from '@iommukit/core';
import { attachDomain, detachPasid } from './attach.ts';
import { asMaster, type Master, type SmmuDomain } from './master.ts';
import { abortSte, bypassSte, S1DSS, stage1Ste } from './ste.ts';

/** Requests without a PASID are not translated: they pass, or they are refused in silence. */
abstract class StaticDomain implements SmmuDomain {
  abstract readonly kind: 'identity' | 'blocked';
  readonly holder = null;
  readonly contexts = 'static';

  attach(device: DeviceHandle): void {
    attachDomain(asMaster(device), this);
  }

  /** While PASIDs are in use the stream goes through its CD table, and S1DSS decides for requests without one. */
  ste(master: Master): Uint32Array {
    const { features } = master.smmu;
    if (master.pasids.size > 0) return stage1Ste(features, master.contexts().ref, this.s1dss);
    return this.kind === 'identity' ? bypassSte(features) : abortSte();
  }

  checkDevice(): void {}

  free(): void {}

  private get s1dss(): number {
    return this.kind === 'identity' ? S1DSS.BYPASS : S1DSS.TERMINATE;
  }
}

export class IdentityDomain extends StaticDomain implements StaticDomainOps {
  readonly kind = 'identity';
}

export class BlockedDomain extends StaticDomain implements StaticDomainOps {
  readonly kind = 'blocked';

  attachPasid(device: DeviceHandle, pasid: number): void {
    detachPasid(asMaster(device), pasid);
  }
}
