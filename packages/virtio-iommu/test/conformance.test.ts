import { type CaseResult, runConformance } from '@iommukit/conformance';
import { boundary, mutants } from '@iommukit/conformance/vitest';
import { describe, expect, test } from 'vitest';
import { CONFIGS } from '../src/config.ts';
import { virtioIommu } from '../src/plugin.ts';

/** What this architecture does not have; any other skipped case is one that got lost. */
const ABSENT = ['pasid', 'dirty-tracking', 'nest-parent', 'viommu', 'enforce-cache-coherency'];
const told = ({ id, reason }: CaseResult) => `${id}: ${reason}`;

describe.each(CONFIGS.map(({ name }) => name))('the shared suite, configuration %s', (config) => {
  const { cases } = runConformance({ vendors: [virtioIommu], config });

  test('no case fails', () => {
    expect(cases.filter(({ status }) => status === 'fail').map(told)).toEqual([]);
    expect(cases.filter(({ status }) => status === 'pass').length).toBeGreaterThanOrEqual(40);
  });

  test('what is skipped is skipped for what the device lacks', () => {
    const lacks = config === 'no-bypass-config' ? [...ABSENT, 'identity-passthrough'] : ABSENT;
    const strange = cases.filter(
      ({ status, reason }) => status === 'skip' && !lacks.some((capability) => reason?.includes(capability)),
    );
    expect(strange.map(told)).toEqual([]);
  });
});

boundary(virtioIommu);
mutants(virtioIommu);
