import { ensure, type StaticDomainOps } from '@iommukit/core';
import { CONTEXT_ENTRY, PASID_ENTRY, PGTT, TT } from '../format/index.ts';
import { Attachable } from './attach.ts';
import type { VtdDevice } from './device.ts';
import { DID_PASS_THROUGH } from './domain-ids.ts';
import type { Translation } from './translation.ts';

/** Nothing is present; requests fault with the not-present reason of the first missing entry, and are reported. */
export class BlockedDomain extends Attachable implements StaticDomainOps {
  readonly kind = 'blocked';
  protected readonly translation = null;

  free(): void {}
}

/** Pass-through: requests keep their address. Needs ECAP.PT. */
export class IdentityDomain extends Attachable implements StaticDomainOps {
  readonly kind = 'identity';
  protected readonly translation: Translation = PASS_THROUGH;

  free(): void {}
}

const PASS_THROUGH: Translation = {
  pgtt: PGTT.PASS_THROUGH,
  check({ unit }: VtdDevice): void {
    ensure(unit.features.ecap.PT, 'EOPNOTSUPP', 'the unit has no pass-through');
  },
  acquireDid: () => DID_PASS_THROUGH,
  releaseDid: () => {},
  /** AW must name the largest width although nothing is walked (VT-d 9.3); a PASID entry may (9.6), and kernels do it. */
  contextEntry: (did, { unit }) =>
    CONTEXT_ENTRY.encode({
      P: true,
      TT: TT.PASS_THROUGH,
      AW: unit.features.widestAw,
      DID: did,
    }),
  pasidEntry: (did, { unit }) =>
    PASID_ENTRY.encode({
      P: true,
      AW: unit.features.widestAw,
      PGTT: PGTT.PASS_THROUGH,
      DID: did,
      PWSNP: unit.features.ecap.SMPWCS,
    }),
  attached: () => {},
  detached: () => {},
};
