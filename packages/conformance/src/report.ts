/** What became of one case on one configuration of one vendor. */
export interface CaseResult {
  readonly vendor: string;
  readonly config: string;
  readonly id: string;
  readonly title: string;
  readonly status: CaseStatus;
  /** Why it failed or was skipped; null for a pass. */
  readonly reason: string | null;
  /** Where the vendor's manual says so; null when no one place does. */
  readonly spec: string | null;
  readonly durationMs: number;
}

export type CaseStatus = 'pass' | 'fail' | 'skip';

export interface ConformanceSummary {
  readonly pass: number;
  readonly fail: number;
  readonly skip: number;
}

/** The JSON of `iommukit conformance`, as it stands. */
export interface ConformanceReport {
  readonly cases: readonly CaseResult[];
  readonly summary: ConformanceSummary;
}

export function makeReport(cases: readonly CaseResult[]): ConformanceReport {
  const summary = { pass: 0, fail: 0, skip: 0 };
  for (const { status } of cases) summary[status]++;
  return { cases, summary };
}

/** One report out of the reports of all shards; a case that stands in several is taken from the last. */
export function mergeReports(reports: readonly ConformanceReport[]): ConformanceReport {
  const byKey = new Map<string, CaseResult>();
  for (const { cases } of reports) {
    for (const result of cases) byKey.set(`${result.vendor}\n${result.config}\n${result.id}`, result);
  }
  return makeReport([...byKey.values()].sort(inOrder));
}

/** Vendor, configuration, case: the order of a report does not depend on how it was split. */
export function inOrder(a: CaseResult, b: CaseResult): number {
  return compare(a.vendor, b.vendor) || compare(a.config, b.config) || compare(a.id, b.id);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
