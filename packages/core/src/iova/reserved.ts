import type { ReservedRegion, ReservedRegionType } from '../ops/types.ts';
import type { DeviceDescription } from '../ports/discovery.ts';
import { complementOf } from './range.ts';

/** Order of types that start at the same address, as the group list sorts them. */
const TYPE_ORDER: Readonly<Record<ReservedRegionType, number>> = {
  direct: 0,
  'direct-relaxable': 1,
  reserved: 2,
  msi: 3,
  'sw-msi': 4,
};

/** What the topology between device and unit closes: the complement of the device's bus windows, for every vendor alike. */
export function busReservations({ busLimits }: Pick<DeviceDescription, 'busLimits'>): ReservedRegion[] {
  if (busLimits.length === 0) return [];
  return complementOf(busLimits).map(({ start, last }) => ({ start, last, prot: 0, type: 'reserved' }));
}

/**
 * The group's list: every region of every device, sorted by start then type, where regions of one type that overlap or
 * touch are joined; the joined one keeps the protection of the lower. Different types never join, and may overlap.
 * Ranges that end at the top of the address space join like any other (Linux 7.2 wraps there).
 */
export function mergeReservedRegions(regions: readonly ReservedRegion[]): ReservedRegion[] {
  let list: ReservedRegion[] = [];
  for (const region of regions) {
    const at = list.findIndex((entry) => comesAfter(entry, region));
    list.splice(at === -1 ? list.length : at, 0, region);
    list = joinType(list, region.type);
  }
  return list;
}

/** `0x%016x 0x%016x type`, one line a region, as `/sys/kernel/iommu_groups/N/reserved_regions` prints it. */
export function formatReservedRegions(regions: readonly ReservedRegion[]): string {
  const digits = (value: bigint) => `0x${value.toString(16).padStart(16, '0')}`;
  const word = (type: ReservedRegionType) => (type === 'sw-msi' ? 'msi' : type);
  return regions.map(({ start, last, type }) => `${digits(start)} ${digits(last)} ${word(type)}\n`).join('');
}

function comesAfter(entry: ReservedRegion, region: ReservedRegion): boolean {
  if (entry.start !== region.start) return entry.start > region.start;
  return TYPE_ORDER[entry.type] >= TYPE_ORDER[region.type];
}

function joinType(list: readonly ReservedRegion[], type: ReservedRegionType): ReservedRegion[] {
  const out: ReservedRegion[] = [];
  let kept = -1;
  for (const region of list) {
    const below = region.type === type && kept >= 0 ? out[kept] : undefined;
    if (below && region.start <= below.last + 1n) {
      out[kept] = { ...below, last: region.last > below.last ? region.last : below.last };
      continue;
    }
    if (region.type === type) kept = out.length;
    out.push(region);
  }
  return out;
}
