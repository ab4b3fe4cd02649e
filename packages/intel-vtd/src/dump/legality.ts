import { CONTEXT } from '../hardware/caches/context-cache.ts';
import { PASID, PASID_FLAG } from '../hardware/caches/pasid-cache.ts';
import { LegacyLookup } from '../hardware/legacy-lookup.ts';
import { PasidLookup } from '../hardware/pasid-lookup.ts';
import { SCALABLE_CONTEXT, ScalableLookup } from '../hardware/scalable-lookup.ts';
import { MODE } from '../hardware/state.ts';
import type { VtdUnit } from '../hardware/unit.ts';

/**
 * Whether hardware lets a device's requests get as far as a page table: root, context and PASID entries present and
 * legal. What is refused earlier has tables perhaps, but maps nothing. VT-d 7.1.3.
 */
export class Legality {
  readonly #unit: VtdUnit;
  readonly #legacy: LegacyLookup;
  readonly #scalable: ScalableLookup;
  readonly #pasids: PasidLookup;

  constructor(unit: VtdUnit) {
    const { state, caches } = unit;
    this.#unit = unit;
    this.#legacy = new LegacyLookup(state, caches.contexts);
    this.#scalable = new ScalableLookup(state, caches.contexts);
    this.#pasids = new PasidLookup(state, caches.contexts, caches.pasids);
  }

  /** `pasid` null: requests without one. */
  reachesTables(device: number, pasid: number | null): boolean {
    if (this.#unit.state.mode === MODE.LEGACY) return pasid === null && this.#legacy.find(device) >= 0;
    const context = this.#scalable.find(device);
    return context >= 0 && this.#prefixAllowed(context, pasid) && this.#entryUsable(context, device, pasid);
  }

  /** EPTR without PASIDE refuses requests without PASID; ECAP.PSS ends the PASIDs. */
  #prefixAllowed(context: number, pasid: number | null): boolean {
    const { caches, state } = this.#unit;
    if (pasid !== null) return pasid < 2 ** (state.features.ecap.PSS + 1);
    const kind = caches.contexts.data[context + CONTEXT.KIND]!;
    return (kind & SCALABLE_CONTEXT.EPTR) === 0 || (kind & SCALABLE_CONTEXT.PASIDE) !== 0;
  }

  #entryUsable(context: number, device: number, pasid: number | null): boolean {
    const { contexts, pasids } = this.#unit.caches;
    const at = this.#pasids.find(context, device, pasid ?? contexts.data[context + CONTEXT.RID_PASID]!);
    const privileged = pasid === null && contexts.data[context + CONTEXT.RID_PRIV] === 1;
    return at >= 0 && (!privileged || (pasids.data[at + PASID.FLAGS]! & PASID_FLAG.SRE) !== 0);
  }
}
