import { ACCESS, OUTCOME, type VendorPlugin } from '@iommukit/core';
import type { Endpoint } from '@iommukit/machine';
import { IOCTL_FIGURES } from './iommufd.ts';
import { bareFill, bareLoads, bareLookup, bareQueue, bareWalk, type Limit } from './limits.ts';
import type { Workload } from './measure.ts';
import { makeGuests } from './nested.ts';
import { farApart, neighbours, type PageSet } from './pages.ts';
import { attachedDomain, makeRig, mapPages, mapRun, type Rig } from './rig.ts';

/** One thing to time on one vendor, set up and checked. */
export interface Figure {
  readonly work: Workload;
  readonly limit: Limit;
  /** Structures and descriptors one operation reads from memory, where that tells what was measured. */
  readonly loads?: number;
  /** Smallest pages one operation covers. */
  readonly pages?: number;
}

export interface FigureKind {
  readonly name: string;
  readonly title: string;
  /** Translations must not allocate; the bench measures the heap for these. */
  readonly translates: boolean;
  /** Null where the vendor has no such thing. */
  make(plugin: VendorPlugin): Figure | null;
}

const HOT_PAGES = 64;
const COLD_PAGES = 256;
/** About as many loads a sample as the cold walk has. */
const GUESTS = 40;
const WIDEST_INPUT = (1n << 48n) - 1n;
const GUEST_INPUT = (1n << 47n) - 1n;
const RUN_IOVA = 0x40_0000_0000n;

export const FIGURES: readonly FigureKind[] = [
  { name: 'iotlb-hit', title: 'IOTLB hit, endpoint to answer', translates: true, make: hit },
  { name: 'cold-walk', title: 'cold walk of the tables', translates: true, make: coldWalk },
  { name: 'cold-nested-walk', title: 'cold nested walk', translates: true, make: coldNestedWalk },
  { name: 'invalidation', title: 'one invalidation command, end to end', translates: false, make: invalidation },
  ...[1, 512, 262_144].map((pages) => ({
    name: `map-unmap-${pages}`,
    title: `map, unmap and invalidate ${pages} ${pages === 1 ? 'page' : 'pages'}`,
    translates: false,
    make: (plugin: VendorPlugin) => mapUnmap(plugin, pages),
  })),
  ...IOCTL_FIGURES,
];

function hit(plugin: VendorPlugin): Figure {
  const rig = makeRig(plugin);
  const pages = neighbours(HOT_PAGES);
  mapPages(attachedDomain(rig), pages.iovas);
  return { work: { run: translations(rig, pages) }, limit: bareLookup(pages), loads: 0 };
}

function coldWalk(plugin: VendorPlugin): Figure {
  const rig = makeRig(plugin);
  const domain = attachedDomain(rig);
  const { last } = domain.ops.geometry;
  const pages = farApart(COLD_PAGES, last < WIDEST_INPUT ? last : WIDEST_INPUT);
  mapPages(domain, pages.iovas);
  return { ...coldWork(rig, pages), limit: bareWalk(pages) };
}

/**
 * Every guest once, from a TLB that knows none of them. The unit keeps what it knows of the devices: a figure without
 * that would mostly time the reading of context structures.
 */
function coldNestedWalk(plugin: VendorPlugin): Figure | null {
  const rig = makeRig(plugin);
  const pages = farApart(GUESTS, GUEST_INPUT);
  const guests = makeGuests(rig, pages.iovas);
  if (guests === null) return null;
  const run = translationsOf(guests.endpoints, rig, pages);
  run(GUESTS);
  guests.forget();
  const loads = structuresOf(rig, () => run(GUESTS)) / GUESTS;
  const work = { run, prepare: guests.forget, opsPerSample: GUESTS };
  return { work, loads, limit: bareLoads(Math.round(loads)) };
}

function invalidation(plugin: VendorPlugin): Figure | null {
  const rig = makeRig(plugin);
  const domain = attachedDomain(rig);
  if (commandsOf(rig, () => domain.flush()) === 0) return null;
  const run = (ops: number) => {
    for (let i = 0; i < ops; i++) domain.flush();
  };
  return { work: { run }, limit: bareQueue() };
}

function mapUnmap(plugin: VendorPlugin, pages: number): Figure {
  const rig = makeRig(plugin);
  const domain = attachedDomain(rig);
  // Where a mapping is one request and no table is written, one entry is the least.
  const entries = rig.unit.driver.capabilities.has('whole-mappings') ? 1 : pages;
  const bytes = BigInt(pages) * domain.granule;
  const run = (ops: number) => {
    for (let i = 0; i < ops; i++) {
      mapRun(domain, RUN_IOVA, pages);
      if (domain.unmap(RUN_IOVA, bytes) !== bytes) throw new Error('an unmap stopped early');
    }
  };
  return { work: { run }, limit: bareFill(entries), pages };
}

/** Every page once, from cold caches. */
function coldWork(rig: Rig, pages: PageSet): { work: Workload; loads: number } {
  const run = translations(rig, pages);
  const prepare = () => rig.unit.hardware.dropCaches();
  prepare();
  const loads = structuresOf(rig, () => run(pages.length)) / pages.length;
  return { work: { run, prepare, opsPerSample: pages.length }, loads };
}

/**
 * The loop that is timed: round and round the pages, each address waiting for the answer before it (no answer has bit
 * 31 set). A fault would be fast and wrong, so it ends the bench.
 */
function translations({ endpoint, plugin }: Rig, { hi, lo, length }: PageSet): (ops: number) => void {
  const { answer } = endpoint;
  return (ops) => {
    let good = 0;
    answer.paLo = 0;
    for (let i = 0, at = 0; i < ops; i++, at = at + 1 === length ? 0 : at + 1) {
      const next = at + (answer.paLo >>> 31);
      if (endpoint.translate(hi[next]!, lo[next]!, ACCESS.READ) === OUTCOME.TRANSLATED) good++;
    }
    allGood(plugin, good, ops);
  };
}

/** The same, each page through an endpoint of its own. */
function translationsOf(endpoints: readonly Endpoint[], { plugin }: Rig, { hi, lo, length }: PageSet) {
  return (ops: number): void => {
    let good = 0;
    let paLo = 0;
    for (let i = 0, at = 0; i < ops; i++, at = at + 1 === length ? 0 : at + 1) {
      const next = at + (paLo >>> 31);
      const endpoint = endpoints[next]!;
      if (endpoint.translate(hi[next]!, lo[next]!, ACCESS.READ) === OUTCOME.TRANSLATED) good++;
      paLo = endpoint.answer.paLo;
    }
    allGood(plugin, good, ops);
  };
}

function allGood({ id }: VendorPlugin, good: number, ops: number): void {
  if (good !== ops) throw new Error(`${id}: ${ops - good} of ${ops} translations faulted in the bench`);
}

function structuresOf({ unit }: Rig, act: () => void): number {
  let count = 0;
  unit.hardware.probe = { structure: () => void count++ };
  act();
  unit.hardware.probe = null;
  return count;
}

function commandsOf({ unit }: Rig, act: () => void): number {
  let count = 0;
  unit.hardware.probe = { command: () => void count++ };
  act();
  unit.hardware.probe = null;
  return count;
}
