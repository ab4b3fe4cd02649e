import { type IommuDriver, IommuSystem, type PagingDomainOps, type StaticDomainOps } from '@iommukit/core';
import { Iommufd, type UserMemory } from '@iommukit/iommufd';
import type { Figure, FigureKind } from './figures.ts';
import { bareSearch } from './limits.ts';

/** The figures that have no vendor stand under this name. */
export const NO_VENDOR = 'iommufd';

const SIZES = [
  ['4k', 1n << 12n],
  ['2m', 1n << 21n],
  ['1g', 1n << 30n],
] as const;
const AREAS = [
  ['1', 1],
  ['1k', 1000],
  ['1m', 1_000_000],
] as const;

/** Mappings in one IOAS, by number and size, over a unit whose driver does nothing: what the bookkeeping alone costs. */
export const SPACE_FIGURES: readonly (FigureKind & { make(): Figure })[] = AREAS.flatMap(([name, areas]) =>
  SIZES.map(([size, bytes]) => ({
    name: `ioas-map-unmap-${size}-of-${name}`,
    title: `map and unmap ${size.toUpperCase()} beside ${name} ${areas === 1 ? 'mapping' : 'mappings'}, no driver`,
    translates: false,
    make: () => besideAreas(areas, bytes),
  })),
);

/** Each mapping has this much to itself: a page at its start is mapped, the bench maps in the middle. */
const STRIDE = 1n << 32n;
const MIDDLE = 1n << 31n;
const MEMORY = 0x4000_0000n;
const FIXED_RW = 7;

function besideAreas(areas: number, length: bigint): Figure {
  const { iommufd, ioasId } = filled(areas);
  // Coprime to the numbers of areas, so that neighbours in time are no neighbours in place.
  let at = 0;
  const run = (ops: number) => {
    for (let i = 0; i < ops; i++) {
      at = (at + 7919) % areas;
      const iova = BigInt(at) * STRIDE + MIDDLE;
      iommufd.map(anywhere, { flags: FIXED_RW, ioasId, userVa: MEMORY, length, iova });
      iommufd.unmap(ioasId, iova, length);
    }
  };
  return { work: { run }, limit: bareSearch(areas) };
}

interface Space {
  readonly iommufd: Iommufd;
  readonly ioasId: number;
  readonly areas: number;
}

/** Filling a million takes seconds, so that the last space serves its other sizes too. */
let last: Space | null = null;

function filled(areas: number): Space {
  if (last?.areas === areas) return last;
  const iommufd = new Iommufd();
  const ioasId = iommufd.ioasAlloc().id;
  iommufd.hwptAlloc(iommufd.bind(idleDevice()).id, ioasId);
  for (let i = 0; i < areas; i++) {
    const iova = BigInt(i) * STRIDE;
    iommufd.map(anywhere, { flags: FIXED_RW, ioasId, userVa: MEMORY, length: 4096n, iova });
  }
  last = { iommufd, ioasId, areas };
  return last;
}

/** Memory that is wherever one looks. */
const anywhere: UserMemory = {
  accountFor: (mode) => ({ mode, charge() {}, uncharge() {} }),
  read: () => true,
  write: () => true,
  pin: (address, length) => [{ pa: address, length }],
  unpin() {},
};

function idleDevice() {
  const system = new IommuSystem();
  system.addUnit(idleDriver);
  const bus = { pasidBits: 0, ats: false, pri: false, coherent: true, isolation: null, busLimits: [] };
  return system.addDevice(idleDriver, { name: 'idle', requesterIds: [1], ...bus });
}

const idleStatic = (kind: StaticDomainOps['kind']): StaticDomainOps => ({ kind, attach() {}, free() {} });

const idleDomain: PagingDomainOps = {
  kind: 'paging',
  pageSizes: 0x4020_1000n,
  geometry: { start: 0n, last: (1n << 57n) - 1n },
  nestParent: false,
  attach() {},
  free() {},
  mapPages: (_iova, _pa, _pageSize, count) => ({ mapped: count, error: null }),
  unmapPages: (_iova, size) => size,
  syncMap() {},
  syncUnmap() {},
  flushAll() {},
  iovaToPhys: () => null,
};

const idleDriver: IommuDriver = {
  vendor: NO_VENDOR,
  capabilities: new Set<never>(),
  identity: idleStatic('identity'),
  blocked: idleStatic('blocked'),
  probe() {},
  release() {},
  probeDevice: (description) => ({ description, maxPasids: 0 }),
  releaseDevice() {},
  capable: (_device, capability) => capability === 'cache-coherency',
  hwInfo: () => null,
  reservedRegions: () => [],
  allocPaging: () => idleDomain,
  onFault() {},
};
