import { hiOf, loOf, toBig, type Values } from '@iommukit/bits';
import type { PhysicalMemory } from '@iommukit/core';
import {
  CONTEXT_ENTRY,
  PASID_DIRECTORY_ENTRY,
  PASID_ENTRY,
  PGTT,
  ROOT_ENTRY,
  SCALABLE_CONTEXT_ENTRY,
  SCALABLE_ROOT_ENTRY,
  TT,
} from '../format/index.ts';
import type { Space } from './spaces.ts';

export interface Place {
  readonly device: number;
  readonly pasid: number | null;
  readonly space: Space;
}

const BUSES = 256;
const HALF = 128;
const TABLE_ENTRIES = 64;

/** `bytes` of a structure as words, or null when the dump does not hold it. */
function structure(memory: PhysicalMemory, address: bigint, bytes: number): Uint32Array | null {
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i += 2) {
    const at = address + BigInt(i * 4);
    if (!memory.read64(hiOf(at), loOf(at))) return null;
    words[i] = memory.lo;
    words[i + 1] = memory.hi;
  }
  return words;
}

/** A mode's way from a source-id to its address spaces. */
export interface Directory {
  /** Every source-id (and PASID) that translates, ascending; a device's own requests (null) before its PASIDs. */
  places(): Iterable<Place>;
  /** One of them. */
  find(device: number, pasid: number | null): Place | null;
}

export class LegacyDirectory implements Directory {
  readonly #memory: PhysicalMemory;
  readonly #root: bigint;

  constructor(memory: PhysicalMemory, root: bigint) {
    this.#memory = memory;
    this.#root = root;
  }

  *places(): Generator<Place> {
    for (let bus = 0; bus < BUSES; bus++) {
      if (this.#contexts(bus) === null) continue;
      for (let devfn = 0; devfn < BUSES; devfn++) {
        const place = this.find((bus << 8) | devfn, null);
        if (place !== null) yield place;
      }
    }
  }

  find(device: number, pasid: number | null): Place | null {
    const contexts = pasid === null ? this.#contexts(device >>> 8) : null;
    const at = contexts === null ? null : contexts + BigInt((device & 0xff) * 16);
    const words = at === null ? null : structure(this.#memory, at, 16);
    return words === null ? null : legacyPlace(device, words);
  }

  #contexts(bus: number): bigint | null {
    const root = structure(this.#memory, this.#root + BigInt(bus * 16), 16);
    return root !== null && ROOT_ENTRY.get(root, 'P') ? ROOT_ENTRY.get(root, 'CTP') : null;
  }
}

function legacyPlace(device: number, words: Uint32Array): Place | null {
  const entry = CONTEXT_ENTRY.decode(words);
  if (!entry.P || entry.TT === TT.PASS_THROUGH || entry.TT === TT.RESERVED || entry.AW < 1 || entry.AW > 3) return null;
  const second = { root: entry.SSPTPTR, levels: entry.AW + 2 };
  return { device, pasid: null, space: { pgtt: PGTT.SECOND_STAGE, second, first: { root: 0n, levels: 4 } } };
}

type Context = Values<typeof SCALABLE_CONTEXT_ENTRY.fields>;

export class ScalableDirectory implements Directory {
  readonly #memory: PhysicalMemory;
  readonly #root: bigint;
  /** PASID tables and directories that hold nothing that translates: devices may share them by the thousand. */
  readonly #empty = new Set<string>();

  constructor(memory: PhysicalMemory, root: bigint) {
    this.#memory = memory;
    this.#root = root;
  }

  *places(): Generator<Place> {
    for (let first = 0; first < BUSES * BUSES; first += HALF) {
      if (this.#contexts(first) === null) continue;
      for (let device = first; device < first + HALF; device++) {
        const context = this.#context(device);
        if (context !== null) yield* this.#ofDevice(device, context);
      }
    }
  }

  find(device: number, pasid: number | null): Place | null {
    const context = this.#context(device);
    if (context === null) return null;
    const explicit = pasid !== null && context.PASIDE && pasid < 2 ** (context.PDTS + 13);
    if (pasid !== null && (!explicit || pasid === context.RID_PASID)) return null;
    const space = pasidSpace(this.#memory, context.PASIDDIRPTR, pasid ?? context.RID_PASID);
    return space === null ? null : { device, pasid, space };
  }

  #contexts(device: number): bigint | null {
    const root = structure(this.#memory, this.#root + BigInt((device >>> 8) * 16), 16);
    if (root === null) return null;
    const { LP, LCTP, UP } = SCALABLE_ROOT_ENTRY.decode(root);
    if ((device & HALF) === 0) return LP ? LCTP : null;
    return UP ? toBig(root[3]!, root[2]! & -4096) : null;
  }

  #context(device: number): Context | null {
    const table = this.#contexts(device);
    const at = table === null ? null : table + BigInt((device & (HALF - 1)) * 32);
    const words = at === null ? null : structure(this.#memory, at, 32);
    return words !== null && SCALABLE_CONTEXT_ENTRY.get(words, 'P') ? SCALABLE_CONTEXT_ENTRY.decode(words) : null;
  }

  *#ofDevice(device: number, context: Context): Generator<Place> {
    const own = pasidSpace(this.#memory, context.PASIDDIRPTR, context.RID_PASID);
    if (own !== null) yield { device, pasid: null, space: own };
    const key = `${context.PASIDDIRPTR}:${context.PDTS}:${context.RID_PASID}`;
    if (!context.PASIDE || this.#empty.has(key)) return;
    let found = false;
    for (let index = 0; index < 2 ** (context.PDTS + 7); index++)
      if (yield* this.#ofDirectoryEntry(device, context, index)) found = true;
    if (!found) this.#empty.add(key);
  }

  *#ofDirectoryEntry(device: number, context: Context, index: number): Generator<Place, boolean> {
    const entry = structure(this.#memory, context.PASIDDIRPTR + BigInt(index * 8), 8);
    if (entry === null || !PASID_DIRECTORY_ENTRY.get(entry, 'P')) return false;
    const key = `${PASID_DIRECTORY_ENTRY.get(entry, 'SMPTBLPTR')}`;
    if (this.#empty.has(key)) return false;
    let found = false;
    for (let pasid = index * TABLE_ENTRIES; pasid < (index + 1) * TABLE_ENTRIES; pasid++) {
      const space = pasidSpace(this.#memory, context.PASIDDIRPTR, pasid);
      if (space === null) continue;
      found = true;
      if (pasid !== context.RID_PASID) yield { device, pasid, space };
    }
    if (!found) this.#empty.add(key);
    return found;
  }
}

function pasidSpace(memory: PhysicalMemory, directory: bigint, pasid: number): Space | null {
  const slot = structure(memory, directory + BigInt((pasid >>> 6) * 8), 8);
  if (slot === null || !PASID_DIRECTORY_ENTRY.get(slot, 'P')) return null;
  const table = PASID_DIRECTORY_ENTRY.get(slot, 'SMPTBLPTR');
  const words = structure(memory, table + BigInt((pasid & 0x3f) * 64), 64);
  if (words === null) return null;
  const entry = PASID_ENTRY.decode(words);
  if (!entry.P || entry.PGTT < PGTT.FIRST_STAGE || entry.PGTT > PGTT.NESTED) return null;
  if (entry.PGTT !== PGTT.FIRST_STAGE && (entry.AW < 1 || entry.AW > 3)) return null;
  return {
    pgtt: entry.PGTT,
    second: { root: entry.SSPTPTR, levels: entry.AW + 2 },
    first: { root: toBig(words[5]!, words[4]! & -4096), levels: entry.FSPM === 1 ? 5 : 4 },
  };
}
