import type { PagingDomain, Prot } from '@iommukit/core';
import { PROT } from '@iommukit/core';
import type { DeviceName } from '../rig/devices.ts';
import { type Rig, RW } from '../rig/rig.ts';
import type { RigDevice } from '../rig/rig-device.ts';

/** Where cases map unless they say otherwise: aligned for every large page, away from every vendor's windows. */
export const BASE = 0x4000_0000n;

export const RO = PROT.READ | PROT.CACHE;

/** One device with a paging domain in which some pages are mapped. */
export interface Scene {
  readonly device: RigDevice;
  readonly domain: PagingDomain;
  /** Smallest page. */
  readonly page: bigint;
  readonly iova: bigint;
  readonly pa: bigint;
}

export interface SceneOptions {
  readonly pages?: number;
  readonly prot?: Prot;
  readonly name?: DeviceName;
  readonly flags?: number;
}

export function scene(rig: Rig, { pages = 1, prot = RW, name = 'a', flags = 0 }: SceneOptions = {}): Scene {
  const device = rig.device(name);
  const domain = device.attached(flags);
  const page = domain.granule;
  const size = page * BigInt(pages);
  const pa = rig.ram.take(size, page);
  domain.map(BASE, pa, size, prot);
  return { device, domain, page, iova: BASE, pa };
}

/** The page sizes of a domain, ascending. */
export function pageSizes({ ops }: PagingDomain): bigint[] {
  const sizes: bigint[] = [];
  for (let size = 1n; size <= ops.pageSizes; size <<= 1n) if ((ops.pageSizes & size) !== 0n) sizes.push(size);
  return sizes;
}

/** A page size above the smallest that the rig's RAM can hold twice, or null. */
export function largePage(domain: PagingDomain): bigint | null {
  const fitting = pageSizes(domain).filter((size) => size > domain.granule && size <= 0x2000_0000n);
  return fitting[0] ?? null;
}
