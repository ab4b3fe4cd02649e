import type { Capability, VendorConfig, VendorPlugin } from '@iommukit/core';
import { cases } from '../cases/index.ts';
import { discover, runJob } from '../run.ts';
import type { Mutant } from './mutant.ts';
import { trafficOf } from './traffic.ts';

/** `caught`, by the case's reason; `escaped`: a hole in the suite; `not-applicable`: this vendor has no such part. */
export interface Hunt {
  readonly outcome: 'caught' | 'escaped' | 'not-applicable';
  /** Null for an escape. */
  readonly reason: string | null;
}

/**
 * Runs the case meant for `mutant` on the mutated vendor, in the first configuration that has the broken part. The
 * healthy vendor decides which that is, so that a mutant cannot hide by losing a capability.
 */
export function hunt(mutant: Mutant, plugin: VendorPlugin): Hunt {
  const meant = cases.find(({ id }) => id === mutant.by);
  if (meant === undefined) throw new RangeError(`${mutant.id} is to be caught by ${mutant.by}, which does not exist`);
  const found = configFor(mutant, plugin);
  if (found === null) return { outcome: 'not-applicable', reason: 'no configuration has the part it breaks' };
  const { config, capabilities } = found;
  const job = { vendor: mutant.mutate(plugin), config, case: meant };
  const { status, reason } = runJob(job, capabilities);
  if (status === 'fail') return { outcome: 'caught', reason };
  if (mutant.narrows && trafficOf({ ...job, vendor: plugin }) === trafficOf(job))
    return { outcome: 'not-applicable', reason: `${config.name} is told the same with it and without` };
  return { outcome: 'escaped', reason };
}

function configFor(
  { needs = [], unless = [], by }: Mutant,
  plugin: VendorPlugin,
): { readonly config: VendorConfig; readonly capabilities: ReadonlySet<Capability> } | null {
  const meant = cases.find(({ id }) => id === by)!;
  for (const config of plugin.configs) {
    const capabilities = discover(plugin, config);
    if (capabilities instanceof Error) continue;
    const wanted = [...needs, ...(meant.without ? [] : meant.needs)];
    if (wanted.every((need) => capabilities.has(need)) && !unless.some((one) => capabilities.has(one)))
      return { config, capabilities };
  }
  return null;
}
