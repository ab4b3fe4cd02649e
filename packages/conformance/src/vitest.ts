import type { VendorPlugin } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { replayDifferences } from './boundary.ts';
import { hunt } from './mutants/hunt.ts';
import { vendorMutants } from './mutants/index.ts';
import { discover, jobsOf, runJob } from './run.ts';

/** Declares one test for each (configuration, case); a case that does not apply is skipped with its reason. */
export function conformance(plugin: VendorPlugin): void {
  describe.each(plugin.configs)(`${plugin.id} $name`, (config) => {
    const found = discover(plugin, config);
    test.for(jobsOf({ vendors: [plugin], config: config.name }))('$case.id: $case.title', (job, { skip }) => {
      const { status, reason } = runJob(job, found);
      if (status === 'skip') skip(reason ?? 'does not apply');
      expect(reason).toBeNull();
    });
  });
}

/** Declares one test for each mutant of the vendor: the case meant for it must fail. */
export function mutants(plugin: VendorPlugin): void {
  describe(`mutants of ${plugin.id}`, () => {
    test.for(vendorMutants)('$id ($breaks) is caught by $by', (mutant, { skip }) => {
      const { outcome, reason } = hunt(mutant, plugin);
      if (outcome === 'not-applicable') skip(reason ?? 'does not apply');
      expect(outcome).toBe('caught');
    });
  });
}

/**
 * Declares one test for each configuration: what software wrote and devices sent in a run is played to fresh hardware
 * with no driver anywhere; had the halves met by another road, answers or memory would differ.
 */
export function boundary(plugin: VendorPlugin): void {
  describe(`the boundary of ${plugin.id}`, () => {
    test.for(plugin.configs)('$name: a recorded run replays without a driver', (config) => {
      expect(replayDifferences(plugin, config)).toEqual([]);
    });
  });
}
