import { isIommuError, type VendorPlugin } from '@iommukit/core';
import { Rig } from '../rig/rig.ts';
import type { ComparisonReport, ScenarioOutcome, StepReport, VendorReport } from './report.ts';
import type { Scenario } from './scenario.ts';
import type { Step } from './schema.ts';
import { DO, type Done, sayStep } from './steps.ts';
import { Watch } from './watch.ts';
import { World } from './world.ts';

export interface ComparisonOptions {
  readonly scenarios: readonly Scenario[];
  readonly vendors: readonly VendorPlugin[];
  /** Called after each (scenario, vendor). */
  readonly onResult?: ((scenario: string, vendor: string) => void) | undefined;
}

/**
 * Runs every scenario on every vendor, in the first configuration that can do all of it (else the default one). A crash
 * is that pair's `unexpected` outcome.
 */
export function runComparison({ scenarios, vendors, onResult }: ComparisonOptions): ComparisonReport {
  return {
    scenarios: scenarios.map((scenario) => ({
      id: scenario.id,
      title: scenario.title,
      question: scenario.question,
      vendors: Object.fromEntries(
        vendors.map((vendor) => {
          const report = bestOf(scenario, vendor);
          onResult?.(scenario.id, vendor.id);
          return [vendor.id, report];
        }),
      ),
    })),
  };
}

function bestOf(scenario: Scenario, vendor: VendorPlugin): VendorReport {
  let first: VendorReport | null = null;
  for (const config of vendor.configs) {
    const report = runOn(scenario, vendor, config);
    if (report.outcome !== 'unsupported') return report;
    first ??= report;
  }
  return first ?? crashed(new RangeError('the vendor lists no configuration'));
}

function runOn(scenario: Scenario, vendor: VendorPlugin, config: VendorPlugin['configs'][number]): VendorReport {
  try {
    const rig = new Rig(vendor, config, { schedule: 'at-once' });
    const world = new World(rig, scenario);
    const watch = new Watch(rig.unit.hardware, vendor.decoder);
    const stop = rig.system.onFault((fault) => watch.fault(fault));
    const steps = runSteps(scenario.steps, world, watch);
    stop();
    rig.unit.hardware.probe = null;
    const notes = [`configuration ${config.name}: ${config.title}`];
    rig.dispose();
    return { outcome: outcomeOf(steps), steps, native: watch.native, faults: watch.faults, notes };
  } catch (error) {
    return crashed(error);
  }
}

function runSteps(steps: readonly Step[], world: World, watch: Watch): StepReport[] {
  let stopped = false;
  return steps.map((step, i) => {
    const said = sayStep(step);
    if (stopped) return { step: said, result: 'skipped', detail: null, expected: true };
    watch.step = i;
    const report = runStep(step, world);
    stopped = !report.expected;
    return { step: said, ...report };
  });
}

function runStep(step: Step, world: World): Omit<StepReport, 'step'> {
  const done = attempt(step, world);
  const { expect } = step;
  const errno = done.result === 'errno' ? done.detail?.split(':')[0] : undefined;
  const expected = expect === 'any' || expect === done.result || expect === errno;
  return { ...done, expected };
}

function attempt(step: Step, world: World): Done {
  try {
    const doing = DO[step.do] as (world: World, step: Step) => string | null | Done;
    const done = doing(world, step);
    return typeof done === 'object' && done !== null ? done : { result: 'ok', detail: done };
  } catch (error) {
    if (isIommuError(error)) return { result: 'errno', detail: error.message };
    throw error;
  }
}

/** A refusal with EOPNOTSUPP that nobody expected means that the vendor has no such thing. */
function outcomeOf(steps: readonly StepReport[]): ScenarioOutcome {
  const wrong = steps.find(({ expected }) => !expected);
  if (wrong === undefined) return 'as-expected';
  return wrong.result === 'errno' && wrong.detail?.startsWith('EOPNOTSUPP') ? 'unsupported' : 'unexpected';
}

function crashed(error: unknown): VendorReport {
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { outcome: 'unexpected', steps: [], native: [], faults: [], notes: [said] };
}
