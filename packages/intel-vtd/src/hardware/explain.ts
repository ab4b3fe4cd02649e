import { type Layout, toBig } from '@iommukit/bits';
import type { UnitState } from './state.ts';

/** Tells the onlooker what was read; called only when there is one, so it may allocate. */
export function tell(
  state: UnitState,
  what: string,
  hi: number,
  lo: number,
  layout: Layout,
  words: ArrayLike<number>,
): void {
  state.probe?.structure?.(what, toBig(hi, lo), layout, Uint32Array.from(words));
}

/** The entry's name in the manual, by table level. */
const ENTRY_NAMES = ['', 'PTE', 'PDE', 'PDPE', 'PML4E', 'PML5E'];

/** One page-table entry; `stage` is SS or FS. */
export function tellEntry(
  state: UnitState,
  stage: 'SS' | 'FS',
  level: number,
  at: { readonly hi: number; readonly lo: number },
  layout: Layout,
  entry: { readonly hi: number; readonly lo: number },
): void {
  tell(state, `${stage}-${ENTRY_NAMES[level]}`, at.hi, at.lo, layout, [entry.lo, entry.hi]);
}
