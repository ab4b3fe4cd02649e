import { reader64, toBig } from '@iommukit/bits';
import type { HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { CODE, type Code, PTE } from '../format/structures.ts';
import type { EntryCache } from './cache.ts';
import { fieldMask, reservedMask } from './masks.ts';

const ADDR = fieldMask(PTE.fields.ADDR);
const RESERVED = reservedMask(PTE);
const present = reader64(PTE.fields.P);

/** Input addresses have 39 bits (manual 4): bits 38:32 are the low ones of the high half. */
const INPUT_HI_BITS = 7;

/** Finds the leaf of an address: in the cache, or through three levels of tables. The leaf is then in the cache's `lo`/`hi`. */
export class Walker {
  probe: HardwareProbe | null = null;
  readonly #memory: PhysicalMemory;
  readonly #leaves: EntryCache;

  constructor(memory: PhysicalMemory, leaves: EntryCache) {
    this.#memory = memory;
    this.#leaves = leaves;
  }

  find(rootHi: number, rootLo: number, iovaHi: number, iovaLo: number): Code {
    if (iovaHi >>> INPUT_HI_BITS !== 0) return CODE.ADDRESS;
    const page = (iovaHi << 20) | (iovaLo >>> 12);
    return this.#leaves.find(rootHi, rootLo, page) ? CODE.NONE : this.#walk(rootHi, rootLo, page);
  }

  #walk(rootHi: number, rootLo: number, page: number): Code {
    const memory = this.#memory;
    let hi = rootHi;
    let lo = rootLo;
    for (let shift = 18; shift >= 0; shift -= 9) {
      const atHi = hi & ADDR.hi;
      const atLo = (lo & ADDR.lo) | (((page >>> shift) & 511) << 3);
      if (!memory.read64(atHi, atLo)) return CODE.FETCH;
      hi = memory.hi;
      lo = memory.lo;
      if (this.probe !== null) this.#show(atHi, atLo, hi, lo);
      if (present(lo, hi) === 0) return CODE.NOT_PRESENT;
      if ((hi & RESERVED.hi) !== 0 || (lo & RESERVED.lo) !== 0) return CODE.BAD_PTE;
    }
    this.#leaves.insert(rootHi, rootLo, page, hi, lo);
    return CODE.NONE;
  }

  #show(atHi: number, atLo: number, hi: number, lo: number): void {
    this.probe?.structure?.('PTE', toBig(atHi, atLo), PTE, Uint32Array.of(lo, hi));
  }
}
