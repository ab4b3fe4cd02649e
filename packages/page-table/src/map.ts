import { type Errno, IommuError, isIommuError, type MapResult } from '@iommukit/core';
import type { TableNode, TableTree } from './tree.ts';

const OK = 0;
const PRESENT = 1;
const ABORTED = 2;
const REFUSED = 3;
const ERRORS: readonly [Errno, string][] = [
  ['EIO', 'no error'],
  ['EEXIST', 'already mapped'],
  ['EIO', 'page table memory aborts'],
  ['EINVAL', 'the format cannot hold this protection'],
];

/** Why the last {@link fill} stopped short; a module variable so that the loop returns a bare number. */
let stopped = OK;

/**
 * Maps `count` leaves of `level` from `frame` (iova >> granuleLg2) to `pa` (an exact integer). Leaves that stood before an
 * error stay; the caller unmaps them.
 */
export function mapLeaves(
  tree: TableTree,
  frame: number,
  pa: number,
  level: number,
  count: number,
  prot: number,
): MapResult {
  const span = tree.span(level);
  const bytes = span * 2 ** tree.format.granuleLg2;
  let mapped = 0;
  try {
    while (mapped < count) {
      const at = frame + mapped * span;
      const table = tree.reach(at, level);
      const index = tree.indexOf(at, level);
      const wanted = Math.min(count - mapped, tree.entries(level) - index);
      const done = fill(tree, table, index, wanted, pa + mapped * bytes, prot);
      table.live += done;
      mapped += done;
      if (done < wanted) return { mapped, error: new IommuError(...ERRORS[stopped]!) };
    }
    return { mapped, error: null };
  } catch (error) {
    if (isIommuError(error)) return { mapped, error };
    throw error;
  }
}

/** Writes up to `count` leaves into one table and returns how many; stops at the first that is there already. */
function fill(tree: TableTree, table: TableNode, index: number, count: number, pa: number, prot: number): number {
  const { memory, format } = tree;
  const { level, hi: tableHi } = table;
  const step = 2 ** (format.granuleLg2 + level * format.indexBits);
  const stepLo = step | 0;
  const stepHi = Math.floor(step / 2 ** 32) | 0;
  let paLo = pa | 0;
  let paHi = Math.floor(pa / 2 ** 32) | 0;
  let at = (table.lo + index * 8) | 0;
  stopped = OK;
  for (let i = 0; i < count; i++) {
    if (!memory.read64(tableHi, at)) return stop(ABORTED, i);
    if (format.isPresent(memory.lo, memory.hi)) return stop(PRESENT, i);
    if (!format.encodeLeaf(level, paHi, paLo, prot)) return stop(REFUSED, i);
    if (!memory.write64(tableHi, at, format.hi, format.lo)) return stop(ABORTED, i);
    at = (at + 8) | 0;
    paLo = (paLo + stepLo) | 0;
    paHi = (paHi + stepHi + (paLo >>> 0 < stepLo >>> 0 ? 1 : 0)) | 0;
  }
  return count;
}

function stop(why: number, done: number): number {
  stopped = why;
  return done;
}
