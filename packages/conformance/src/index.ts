export type {
  ComparisonReport,
  FaultReport,
  NativeReport,
  ScenarioOutcome,
  ScenarioReport,
  StepReport,
  StepResult,
  VendorReport,
} from './compare/report.ts';
export { type ComparisonOptions, runComparison } from './compare/run.ts';
export { parseScenario, type Scenario, ScenarioError } from './compare/scenario.ts';
export { scenarios } from './compare/scenarios.ts';
export {
  type CaseResult,
  type CaseStatus,
  type ConformanceReport,
  type ConformanceSummary,
  mergeReports,
} from './report.ts';
export { type CaseListing, type ConformanceOptions, listCases, runConformance } from './run.ts';
