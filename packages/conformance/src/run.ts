import type { Capability, VendorConfig, VendorPlugin } from '@iommukit/core';
import type { Schedule } from '@iommukit/machine';
import picomatch from 'picomatch';
import type { Case } from './case.ts';
import { cases as allCases } from './cases/index.ts';
import { CaseFailure } from './expect.ts';
import { type CaseResult, type ConformanceReport, makeReport } from './report.ts';
import { Rig } from './rig/rig.ts';

export interface ConformanceOptions {
  readonly vendors: readonly VendorPlugin[];
  /** Only cases whose id matches; `*` also crosses slashes. */
  readonly filter?: string | undefined;
  /** Only configurations of this name. */
  readonly config?: string | undefined;
  /** 'none': the hardware forgets everything before each request; what fails only with caches is an invalidation. */
  readonly caches?: 'kept' | 'none' | undefined;
  /** The `index`-th (from 1) of `count` parts. */
  readonly shard?: { readonly index: number; readonly count: number } | undefined;
  /** Called after each case, in the order they run. */
  readonly onResult?: ((result: CaseResult) => void) | undefined;
}

/** A case as `--list` shows it. */
export interface CaseListing {
  readonly id: string;
  readonly title: string;
  readonly needs: readonly string[];
}

/** Every case runs under each of these, from a fresh board: hardware that answers at once hides a missing wait. */
export const SCHEDULES: readonly Schedule[] = ['at-once', { afterPolls: 3 }, { seed: 0x10_44 }];

/** One case on one configuration. */
export interface Job {
  readonly vendor: VendorPlugin;
  readonly config: VendorConfig;
  readonly case: Case;
}

/** Runs the shared suite. A crash in one case is that case's failure. Throws RangeError for a shard out of range. */
export function runConformance(options: ConformanceOptions): ConformanceReport {
  const results: CaseResult[] = [];
  const found = new Map<string, ReadonlySet<Capability> | Error>();
  for (const job of jobsOf(options)) {
    const unit = `${job.vendor.id}\n${job.config.name}`;
    if (!found.has(unit)) found.set(unit, discover(job.vendor, job.config));
    const result = runJob(job, found.get(unit)!);
    results.push(result);
    options.onResult?.(result);
  }
  return makeReport(results);
}

/** All cases, by id; `filter` as in {@link ConformanceOptions}. */
export function listCases(filter?: string): CaseListing[] {
  return selectCases(filter).map(({ id, title, needs }) => ({ id, title, needs }));
}

/** What a run consists of, in its order. */
export function jobsOf({ vendors, filter, config, caches, shard }: ConformanceOptions): Job[] {
  const { index, count } = shard ?? { index: 1, count: 1 };
  if (!(Number.isInteger(index) && Number.isInteger(count) && index >= 1 && index <= count))
    throw new RangeError(`shard ${index}/${count} does not exist`);
  const selected = selectCases(filter);
  const chosen = caches === 'none' ? vendors.map(withoutCaches) : vendors;
  const jobs = chosen.flatMap((vendor) =>
    vendor.configs
      .filter(({ name }) => config === undefined || name === config)
      .flatMap((one) => selected.map((testCase) => ({ vendor, config: one, case: testCase }))),
  );
  return jobs.filter((_, i) => i % count === index - 1);
}

const withoutCaches = (vendor: VendorPlugin): VendorPlugin => ({
  ...vendor,
  createHardware(ports, config) {
    const hardware = vendor.createHardware(ports, config);
    const translate = hardware.translate.bind(hardware);
    hardware.translate = (request, answer) => {
      hardware.dropCaches();
      translate(request, answer);
    };
    return hardware;
  },
});

function selectCases(filter?: string): readonly Case[] {
  if (filter === undefined) return allCases;
  const matches = picomatch(filter, { bash: true });
  return allCases.filter(({ id }) => matches(id));
}

/** The capabilities the driver finds, asked of itself on a fresh board; an error when it does not come up. */
export function discover(vendor: VendorPlugin, config: VendorConfig): ReadonlySet<Capability> | Error {
  try {
    const rig = new Rig(vendor, config, { schedule: 'at-once' });
    const found = new Set(rig.capabilities);
    rig.dispose();
    return found;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Runs one case under every schedule; `capabilities` as {@link discover} found them. */
export function runJob(job: Job, capabilities: ReadonlySet<Capability> | Error): CaseResult {
  const started = performance.now();
  const { vendor, config, case: testCase } = job;
  const { status, reason } = attempt(job, capabilities);
  return {
    vendor: vendor.id,
    config: config.name,
    id: testCase.id,
    title: testCase.title,
    status,
    reason,
    spec: testCase.spec?.[vendor.id] ?? null,
    durationMs: Math.round((performance.now() - started) * 1000) / 1000,
  };
}

function attempt(job: Job, capabilities: ReadonlySet<Capability> | Error): Pick<CaseResult, 'status' | 'reason'> {
  if (capabilities instanceof Error)
    return { status: 'fail', reason: `the unit does not come up: ${explain(capabilities)}` };
  const lacks = job.case.needs.filter((need) => !capabilities.has(need));
  const body = lacks.length === 0 ? job.case.run : job.case.without;
  if (body === undefined) return { status: 'skip', reason: `needs ${lacks.join(', ')}` };
  for (const schedule of SCHEDULES) {
    const reason = runOnce(job, body, schedule);
    if (reason !== null) return { status: 'fail', reason: `${describeSchedule(schedule)}: ${reason}` };
  }
  return { status: 'pass', reason: null };
}

function runOnce({ vendor, config }: Job, body: (rig: Rig) => void, schedule: Schedule): string | null {
  try {
    const rig = new Rig(vendor, config, { schedule });
    body(rig);
    rig.dispose();
    return null;
  } catch (error) {
    return explain(error);
  }
}

function explain(error: unknown): string {
  if (error instanceof CaseFailure) return error.message;
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const at = error.stack?.split('\n').find((line) => line.trimStart().startsWith('at '));
  return `${error.name}: ${error.message}${at ? ` (${at.trim()})` : ''}`;
}

function describeSchedule(schedule: Schedule): string {
  if (schedule === 'at-once') return 'hardware at once';
  return 'seed' in schedule
    ? `hardware in seeded order ${schedule.seed}`
    : `hardware ${schedule.afterPolls} polls later`;
}
