import type { DumpMapping } from '@iommukit/core';

/** Joins neighbours that continue in iova and in pa with equal permissions and page size. Input is sorted by iova. */
export function* joinRuns(mappings: Iterable<DumpMapping>): Generator<DumpMapping> {
  let run: DumpMapping | undefined;
  for (const next of mappings) {
    if (run !== undefined && continues(run, next)) run = extended(run, next.size);
    else {
      if (run !== undefined) yield run;
      run = next;
    }
  }
  if (run !== undefined) yield run;
}

function continues(run: DumpMapping, next: DumpMapping): boolean {
  return (
    run.iova + run.size === next.iova &&
    run.pa + run.size === next.pa &&
    run.permissions === next.permissions &&
    run.pageSize === next.pageSize
  );
}

const extended = (run: DumpMapping, by: bigint): DumpMapping => ({ ...run, size: run.size + by });
