import type { TableNode, TableTree } from './tree.ts';

/** Called with the first frame and the size in frames of a leaf that was written. */
export type DirtyReport = (frame: number, frames: number) => void;

/** Reports the dirty leaves that touch `[frame, frame + frames)`, whole; makes them clean unless `keep`. Skips holes. */
export function collectDirty(tree: TableTree, frame: number, frames: number, keep: boolean, report: DirtyReport): void {
  const end = frame + frames;
  let at = frame;
  while (at < end) {
    const table = tree.descend(at, 0);
    const span = tree.span(table.level);
    const base = Math.floor(at / span) * span;
    if (takeDirty(tree, table, tree.indexOf(at, table.level), keep)) report(base, span);
    at = base + span;
  }
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
