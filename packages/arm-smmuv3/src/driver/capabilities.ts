import type { Capability } from '@iommukit/core';
import type { Features } from './features.ts';

/** What every SMMU does under this driver. Streams that are blocked abort in silence (STE.Config = 0). */
const ALWAYS: readonly Capability[] = [
  'hw-info',
  'enforce-cache-coherency',
  'execute-permission',
  'large-pages',
  'identity-passthrough',
];

/** The unit's capabilities, from its identification registers. */
export function capabilitiesOf(features: Features): ReadonlySet<Capability> {
  const found = new Set(ALWAYS);
  const when = (condition: boolean, ...capabilities: Capability[]): void => {
    if (condition) for (const capability of capabilities) found.add(capability);
  };
  when(features.stage1 && features.stage2, 'nest-parent', 'viommu');
  when(features.ssidBits > 0, 'pasid');
  when(features.dirty, 'dirty-tracking');
  // Stage-1 permissions know no page that can be written but not read; the driver prefers stage 1.
  when(!features.stage1, 'write-only-mapping');
  return found;
}
