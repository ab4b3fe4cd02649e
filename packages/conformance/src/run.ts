import type { VendorPlugin } from '@iommukit/core';
import { type CaseResult, type ConformanceReport, makeReport } from './report.ts';

export interface ConformanceOptions {
  readonly vendors: readonly VendorPlugin[];
  /** Only cases whose id matches; `*` also crosses slashes. */
  readonly filter?: string | undefined;
  /** Only configurations of this name. */
  readonly config?: string | undefined;
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

/** Runs the shared suite. A crash in one case is that case's failure. Throws RangeError for a shard out of range. */
export function runConformance(_options: ConformanceOptions): ConformanceReport {
  return makeReport([]);
}

/** All cases, by id; `filter` as in {@link ConformanceOptions}. */
export function listCases(_filter?: string): CaseListing[] {
  return [];
}
