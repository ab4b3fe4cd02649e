import { type Layout, toBig } from '@iommukit/bits';
import type { HardwareProbe } from '@iommukit/core';

/** Tells an onlooker about a structure; `words` is copied, because the caller reuses it. */
export function probeStructure(
  probe: HardwareProbe,
  what: string,
  layout: Layout,
  hi: number,
  lo: number,
  words: Uint32Array,
): void {
  probe.structure?.(what, toBig(hi, lo), layout, Uint32Array.from(words));
}
