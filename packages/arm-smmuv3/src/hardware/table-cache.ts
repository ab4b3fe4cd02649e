import type { TranslationCache } from './translation-cache.ts';
import { FLAGS_SHIFT, leafShape } from './translation-entry.ts';

/** The level whose tables hold pages only. */
const LAST_LEVEL = 3;

/** Of the tables above a table: bits 63:59 of their descriptors, the hierarchical permissions. */
const ABOVE_SHIFT = 27;

/**
 * Remembers where the last-level table for an address lies, so that a neighbour's walk is one load; in a cache of its
 * own, which only invalidations with Leaf = 0 reach. `above`: the high halves of the descriptors above it, ORed.
 */
export function keepTable(
  tables: TranslationCache,
  tag: number,
  hi: number,
  lo: number,
  granuleLg2: number,
  tableHi: number,
  tableLo: number,
  above: number,
): void {
  const span = 2 * granuleLg2 - 3;
  const shape = leafShape(LAST_LEVEL, granuleLg2, span);
  tables.insert(tag, hi, lo, span, tableHi, tableLo, above >>> ABOVE_SHIFT, shape);
}

/** What of `above` {@link keepTable} kept, from the entry's word OUT_HI. */
export const aboveTable = (outHi: number): number => (outHi >>> FLAGS_SHIFT) << ABOVE_SHIFT;
