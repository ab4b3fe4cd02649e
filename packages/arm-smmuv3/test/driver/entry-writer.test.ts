import { TestMemory } from '@iommukit/page-table/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CD_KIND, noCd, pagingCd } from '../../src/driver/cd.ts';
import { type EntryKind, EntryWriter, readEntry, storeEntry } from '../../src/driver/entry-writer.ts';
import { type Features, readFeatures } from '../../src/driver/features.ts';
import { stage2Geometry } from '../../src/driver/geometry.ts';
import { abortSte, bypassSte, nestedSte, S1DSS, STE_KIND, stage1Ste, stage2Ste } from '../../src/driver/ste.ts';
import { NESTING, type Script, ScriptedSmmu } from './scripted-smmu.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const AT = 0x8000_0000;

const featuresOf = (script: Script): Features => readFeatures(new ScriptedSmmu(script).mmio);
const features = featuresOf(NESTING);
const stalling = featuresOf({ ...NESTING, idr0: 0x0e44_101b });
const overriding = featuresOf({ ...NESTING, idr1: 0x0a73_0290 });

interface Seen {
  /** Entry at each sync. */
  readonly syncs: Uint32Array[];
  /** Entry after each 64-bit write: what a reader could meet in between. */
  readonly writes: Uint32Array[];
}

/** Memory that shows the entry after every write to it. */
class WatchedMemory extends TestMemory {
  onWrite: () => void = () => {};
  override write64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    const done = super.write64(paHi, paLo, hi, lo);
    this.onWrite();
    return done;
  }
}

function update(kind: EntryKind, from: Uint32Array, to: Uint32Array): Seen {
  const memory = new WatchedMemory();
  storeEntry(memory, AT, from);
  const seen: Seen = { syncs: [], writes: [] };
  const now = (): Uint32Array => {
    const words = new Uint32Array(16);
    readEntry(memory, AT, words);
    return words;
  };
  memory.onWrite = () => seen.writes.push(now());
  new EntryWriter(memory, kind).write(AT, to, () => seen.syncs.push(now()));
  expect([...now()]).toEqual([...to]);
  return seen;
}

/** STE bits 83 (MEV) and 92 (EATS low): the writer may change them at any time. */
const MAY_FLIP = (1 << 19) | (1 << 28);

/** What hardware makes of an entry: its used bits, less those whose moment does not matter. */
function meaning(kind: EntryKind, entry: Uint32Array): string {
  const mask = new Uint32Array(16);
  kind.used(entry, mask);
  if (kind === STE_KIND) mask[2]! &= ~MAY_FLIP;
  return [...entry].map((word, i) => ((word & mask[i]!) >>> 0).toString(16)).join();
}

/** Whether some reader could meet an entry that is neither the old nor the new one: only V = 0 may stand between. */
function goesThroughInvalid(kind: EntryKind, from: Uint32Array, to: Uint32Array): boolean {
  const [before, after] = [meaning(kind, from), meaning(kind, to)];
  let invalid = false;
  for (const entry of update(kind, from, to).writes) {
    const now = meaning(kind, entry);
    if (now === before || now === after) continue;
    expect(now, 'a mixture became visible').toBe(meaning(kind, new Uint32Array(16)));
    invalid = true;
  }
  return invalid;
}

const table = { pa: 0x4000_0000, format: 0, maxLg2: 8 };
const otherTable = { ...table, pa: 0x5000_0000 };
const geometry = stage2Geometry(12, 44);
const stage2 = { vmid: 0, root: 0x1234_5000n, geometry, fwb: false };
const vm = { ...stage2, vmid: 5 };
const guest = (dss: number): Uint32Array => new Uint32Array([0x4000_000b, 0x4000_0000, 0xd4 | dss, 0]);

const abort = abortSte();
const bypass = bypassSte(overriding);
const cds = stage1Ste(overriding, table, S1DSS.SUBSTREAM0);
const cdsBypass = stage1Ste(overriding, table, S1DSS.BYPASS);
const cdsOff = stage1Ste(overriding, table, S1DSS.TERMINATE);
const two = stage2Ste(overriding, stage2);

describe('transitions: syncs, and whether the stream is refused on the way', () => {
  test.each<[string, Uint32Array, Uint32Array, number, boolean]>([
    ['bypass to abort', bypass, abort, 2, false],
    ['abort to bypass', abort, bypass, 2, false],
    ['CD table to abort', cds, abort, 2, false],
    ['abort to CD table', abort, cds, 2, false],
    ['CD table to bypass', cds, bypass, 3, false],
    ['bypass to CD table', bypass, cds, 3, false],
    ['S1DSS substream 0 to bypass', cds, cdsBypass, 1, false],
    ['S1DSS bypass to substream 0', cdsBypass, cds, 1, false],
    ['S1DSS bypass to terminate', cdsBypass, cdsOff, 1, false],
    ['S1DSS bypass to plain bypass', cdsBypass, bypass, 2, false],
    ['plain bypass to S1DSS bypass', bypass, cdsBypass, 2, false],
    ['stage 2 to abort', two, abort, 2, false],
    ['abort to stage 2', abort, two, 2, false],
    ['stage 2 to bypass', two, bypass, 2, false],
    ['bypass to stage 2', bypass, two, 2, false],
    ['stage 1 to stage 2 with one VMID', cds, two, 3, false],
    ['stage 2 to stage 1 with one VMID', two, cds, 3, false],
    ['the same when faults stall', stage1Ste(stalling, table, 2), stage2Ste(stalling, stage2), 3, false],
    ['stage 1 to a stage 2 with its own VMID', cds, stage2Ste(features, vm), 3, true],
    ['another CD table and S1DSS', cds, stage1Ste(overriding, otherTable, S1DSS.BYPASS), 3, true],
    ['another CD table', cds, stage1Ste(overriding, otherTable, S1DSS.SUBSTREAM0), 1, false],
    ['nested to stage 2 of the same machine', nestedSte(features, vm, guest(2)), stage2Ste(features, vm), 3, false],
    ['stage 2 to nested on the same machine', stage2Ste(features, vm), nestedSte(features, vm, guest(2)), 2, false],
    ['no change', two, two, 0, false],
  ])('%s', (_what, from, to, syncs, refused) => {
    expect(update(STE_KIND, from, to).syncs).toHaveLength(syncs);
    expect(goesThroughInvalid(STE_KIND, from, to)).toBe(refused);
  });

  test.each<[string, Uint32Array, Uint32Array, number, boolean]>([
    ['a CD appears', noCd(), cdOf(3, 0x1000n), 2, false],
    ['a CD goes', cdOf(3, 0x1000n), noCd(), 2, false],
    ['another ASID', cdOf(3, 0x1000n), cdOf(4, 0x1000n), 1, false],
    ['another address space', cdOf(3, 0x1000n), cdOf(4, 0x2000n), 3, true],
  ])('CD: %s', (_what, from, to, syncs, refused) => {
    expect(update(CD_KIND, from, to).syncs).toHaveLength(syncs);
    expect(goesThroughInvalid(CD_KIND, from, to)).toBe(refused);
  });
});

function cdOf(asid: number, root: bigint): Uint32Array {
  return pagingCd(features, { asid, root, inputBits: 48, dirty: false });
}

/** Any STE the driver makes. */
const anySte = fc.oneof(
  fc.constant(abort),
  fc.constantFrom(features, overriding, stalling).map(bypassSte),
  fc
    .tuple(
      fc.constantFrom(features, overriding, stalling),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 0, max: 2 }),
    )
    .map(([f, n, dss]) => stage1Ste(f, { pa: n * 0x1000, format: 0, maxLg2: n }, dss)),
  fc
    .tuple(fc.constantFrom(features, overriding, stalling), fc.integer({ min: 0, max: 3 }), fc.boolean())
    .map(([f, vmid, fwb]) => stage2Ste(f, { vmid, root: BigInt(vmid) << 20n, geometry, fwb })),
  fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 3 }))
    .map(([vmid, dss]) => nestedSte(features, { ...vm, vmid }, guest(dss))),
);

test('between any two entries of the driver a reader meets the old one, the new one or V = 0, after every write', () => {
  fc.assert(
    fc.property(anySte, anySte, (from, to) => {
      goesThroughInvalid(STE_KIND, from, to);
    }),
    { numRuns: RUNS },
  );
});

test('after a sync a cached mixture of two writes is impossible: at each sync the entry is old, new or invalid', () => {
  fc.assert(
    fc.property(anySte, anySte, (from, to) => {
      const allowed = [from, to, new Uint32Array(16)].map((entry) => meaning(STE_KIND, entry));
      for (const entry of update(STE_KIND, from, to).syncs) expect(allowed).toContain(meaning(STE_KIND, entry));
    }),
    { numRuns: RUNS },
  );
});

/** Words may be fetched in any order, so between two syncs a reader may hold any subset of the words written. */
test('whatever subset of the words between two syncs a reader has, it is old, new or invalid', () => {
  fc.assert(
    fc.property(anySte, anySte, fc.integer({ min: 0, max: 255 }), (from, to, subset) => {
      const allowed = [from, to, new Uint32Array(16)].map((entry) => meaning(STE_KIND, entry));
      let last = from;
      for (const entry of update(STE_KIND, from, to).syncs) {
        const mixed = entry.map((word, i) => ((subset >> (i >> 1)) & 1 ? word : last[i]!));
        expect(allowed).toContain(meaning(STE_KIND, mixed));
        last = entry;
      }
    }),
    { numRuns: RUNS },
  );
});

test('STEs set no bit that their own configuration ignores', () => {
  fc.assert(
    fc.property(anySte, (ste) => {
      const mask = new Uint32Array(16);
      STE_KIND.used(ste, mask);
      expect([...ste].map((word, i) => (word & ~mask[i]!) >>> 0)).toEqual(new Array(16).fill(0));
    }),
    { numRuns: 1000 },
  );
});
