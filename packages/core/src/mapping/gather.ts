import type { Gather } from '../ops/types.ts';

const TOP = (1n << 64n) - 1n;

/** An empty gather. */
export const newGather = (): Gather => ({ start: TOP, last: 0n, pageSize: 0n, freed: [] });

/** True while nothing was removed. */
export const isEmptyGather = (gather: Gather): boolean => gather.start > gather.last;

/** Records that `[iova, iova + size)`, mapped by pages of `pageSize`, was removed. */
export function addToGather(gather: Gather, iova: bigint, size: bigint, pageSize: bigint): void {
  const last = iova + size - 1n;
  if (iova < gather.start) gather.start = iova;
  if (last > gather.last) gather.last = last;
  if (gather.pageSize === 0n || pageSize < gather.pageSize) gather.pageSize = pageSize;
}
