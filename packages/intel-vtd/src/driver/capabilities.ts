import type { Capability } from '@iommukit/core';
import type { Features } from './features.ts';

/** What each capability of the common contract takes here. A paging domain made without flags is meant. */
const CONDITIONS: Readonly<Partial<Record<Capability, (features: Features) => boolean>>> = {
  'nest-parent': (f) => f.nested,
  'nested-on-parent': (f) => f.nested,
  pasid: (f) => f.pasid,
  'dirty-tracking': (f) => f.dirty,
  'hw-info': () => true,
  'enforce-cache-coherency': (f) => f.ecap.SC,
  'write-only-mapping': (f) => !f.firstStage,
  'large-pages': (f) => f.firstStage || f.cap.SSLPS !== 0,
  'reports-blocked': () => true,
  'identity-passthrough': (f) => f.ecap.PT,
};

export function capabilitiesOf(features: Features): ReadonlySet<Capability> {
  const found = new Set<Capability>();
  for (const [capability, holds] of Object.entries(CONDITIONS)) {
    if (holds(features)) found.add(capability as Capability);
  }
  return found;
}
