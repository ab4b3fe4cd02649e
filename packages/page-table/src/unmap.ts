import type { TableNode, TableTree } from './tree.ts';

/** What one {@link unmapLeaves} removed; reused, so that an unmap allocates nothing. */
export class Removed {
  /** Frames removed, from the first frame on without a gap. */
  frames = 0;
  /** Bit `level` set: leaves of that level were removed. */
  levels = 0;
}

/**
 * Removes whole leaves in `[frame, frame + frames)`. Stops at the first hole and before a leaf that the range cuts.
 * Tables that become empty are unlinked and pushed to `freed`; hardware may still walk them until it is told.
 */
export function unmapLeaves(tree: TableTree, frame: number, frames: number, freed: number[], removed: Removed): void {
  removed.frames = 0;
  removed.levels = 0;
  while (removed.frames < frames) {
    const at = frame + removed.frames;
    const table = tree.descend(at, 0);
    const span = tree.span(table.level);
    if (at % span !== 0) return;
    const index = tree.indexOf(at, table.level);
    const whole = Math.floor((frames - removed.frames) / span);
    const done = clear(tree, table, index, Math.min(whole, tree.entries(table.level) - index));
    if (done === 0) return;
    removed.frames += done * span;
    removed.levels |= 1 << table.level;
    tree.shrink(table, done, freed);
  }
}

/** Clears leaves of one table until the first that is absent or no leaf; returns how many. */
function clear(tree: TableTree, table: TableNode, index: number, count: number): number {
  const { memory, format } = tree;
  const { level, hi: tableHi } = table;
  let at = (table.lo + index * 8) | 0;
  for (let i = 0; i < count; i++) {
    if (!memory.read64(tableHi, at) || !format.isPresent(memory.lo, memory.hi)) return i;
    if (level > 0 && format.isTable(level, memory.lo, memory.hi)) return i;
    if (!memory.write64(tableHi, at, 0, 0)) return i;
    at = (at + 8) | 0;
  }
  return count;
}
