import { hiOf, loOf, toBig } from '@iommukit/bits';
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

/** Source-ids with a present legacy context entry that translates. */
export function* legacyPlaces(memory: PhysicalMemory, rootTable: bigint): Generator<Place> {
  for (let bus = 0; bus < BUSES; bus++) {
    const root = structure(memory, rootTable + BigInt(bus * 16), 16);
    if (root === null || !ROOT_ENTRY.get(root, 'P')) continue;
    for (let devfn = 0; devfn < BUSES; devfn++) {
      const words = structure(memory, ROOT_ENTRY.get(root, 'CTP') + BigInt(devfn * 16), 16);
      const place = words === null ? null : legacyPlace((bus << 8) | devfn, words);
      if (place !== null) yield place;
    }
  }
}

function legacyPlace(device: number, words: Uint32Array): Place | null {
  const entry = CONTEXT_ENTRY.decode(words);
  if (!entry.P || entry.TT === TT.PASS_THROUGH || entry.TT === TT.RESERVED || entry.AW < 1 || entry.AW > 3) return null;
  const second = { root: entry.SSPTPTR, levels: entry.AW + 2 };
  return { device, pasid: null, space: { pgtt: PGTT.SECOND_STAGE, second, first: { root: 0n, levels: 4 } } };
}

/** Source-ids and PASIDs with a present PASID entry that translates; null for requests without PASID. */
export function* scalablePlaces(memory: PhysicalMemory, rootTable: bigint): Generator<Place> {
  for (let bus = 0; bus < BUSES; bus++) {
    const root = structure(memory, rootTable + BigInt(bus * 16), 16);
    if (root === null) continue;
    const halves = SCALABLE_ROOT_ENTRY.decode(root);
    if (halves.LP) yield* half(memory, halves.LCTP, bus << 8);
    if (halves.UP) yield* half(memory, toBig(root[3]!, root[2]! & -4096), (bus << 8) | HALF);
  }
}

function* half(memory: PhysicalMemory, table: bigint, first: number): Generator<Place> {
  for (let i = 0; i < HALF; i++) {
    const words = structure(memory, table + BigInt(i * 32), 32);
    if (words !== null && SCALABLE_CONTEXT_ENTRY.get(words, 'P')) yield* devicePlaces(memory, first + i, words);
  }
}

function* devicePlaces(memory: PhysicalMemory, device: number, words: Uint32Array): Generator<Place> {
  const context = SCALABLE_CONTEXT_ENTRY.decode(words);
  const own = pasidSpace(memory, context.PASIDDIRPTR, context.RID_PASID);
  if (own !== null) yield { device, pasid: null, space: own };
  if (!context.PASIDE) return;
  const directories = 2 ** (context.PDTS + 7);
  for (let d = 0; d < directories; d++) {
    const directory = structure(memory, context.PASIDDIRPTR + BigInt(d * 8), 8);
    if (directory === null || !PASID_DIRECTORY_ENTRY.get(directory, 'P')) continue;
    for (let i = 0; i < TABLE_ENTRIES; i++) {
      const pasid = d * TABLE_ENTRIES + i;
      const space = pasid === context.RID_PASID ? null : pasidSpace(memory, context.PASIDDIRPTR, pasid);
      if (space !== null) yield { device, pasid, space };
    }
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
