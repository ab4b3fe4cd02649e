import type { TableNode, TableTree } from './tree.ts';

/** Called with the first frame and the size in frames of a leaf that was written. */
export type DirtyReport = (frame: number, frames: number) => void;

/** Reports the dirty leaves that touch `[frame, frame + frames)`, whole; makes them clean unless `keep`. Skips holes. */
export function collectDirty(tree: TableTree, frame: number, frames: number, keep: boolean, report: DirtyReport): void {
  const end = frame + frames;
  for (let at = frame; at < end; ) at = sweep(tree, tree.descend(at, 0), at, end, keep, report);
}

/**
 * One table from the entry for `frame` on, up to its end, to `end`, or to the next entry that points at a table. Returns
 * the frame to go on from; the first entry is done in any case, for the descent ended there.
 */
function sweep(
  tree: TableTree,
  table: TableNode,
  frame: number,
  end: number,
  keep: boolean,
  report: DirtyReport,
): number {
  const span = tree.span(table.level);
  const entries = tree.entries(table.level);
  const first = tree.indexOf(frame, table.level);
  let at = Math.floor(frame / span) * span;
  for (let index = first; index < entries && at < end; index++, at += span) {
    if (index > first && pointsOn(tree, table, index)) return at;
    if (takeDirty(tree, table, index, keep)) report(at, span);
  }
  return at;
}

function pointsOn({ memory, format }: TableTree, { level, hi, lo }: TableNode, index: number): boolean {
  if (level === 0 || !memory.read64(hi, (lo + index * 8) | 0)) return false;
  return format.isPresent(memory.lo, memory.hi) && format.isTable(level, memory.lo, memory.hi);
}

/** Hardware may set the bit while this looks at it: the entry changes by compare and swap only. */
function takeDirty(tree: TableTree, table: TableNode, index: number, keep: boolean): boolean {
  const { memory, format } = tree;
  const at = (table.lo + index * 8) | 0;
  for (;;) {
    if (!memory.read64(table.hi, at)) return false;
    const { lo, hi } = memory;
    if (!format.isPresent(lo, hi) || !format.isDirty!(table.level, lo, hi)) return false;
    if (keep) return true;
    format.encodeClean!(table.level, lo, hi);
    if (memory.compareExchange64(table.hi, at, hi, lo, format.hi, format.lo)) return true;
    if (memory.lo === lo && memory.hi === hi) return true; // memory aborts: nothing to be gained by trying again
  }
}
