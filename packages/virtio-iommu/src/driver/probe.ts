import { type Capability, ensure } from '@iommukit/core';
import { CONFIG } from '../format/config-space.ts';
import { featureBits, hasFeature } from '../format/features.ts';
import { STATUS } from '../format/registers.ts';
import type { VirtioMmio } from './mmio.ts';

/** Everything this driver can use. The legacy BYPASS stays off: it would let unattached devices through. */
const WANTED = featureBits([
  'INPUT_RANGE',
  'DOMAIN_RANGE',
  'MAP_UNMAP',
  'PROBE',
  'MMIO',
  'BYPASS_CONFIG',
  'INDIRECT_DESC',
  'EVENT_IDX',
  'VERSION_1',
]);

/** A property area beyond this is not worth its memory. */
const MOST_PROPERTIES = 1 << 20;

/** What the device says of itself. */
export interface DeviceFacts {
  /** Bit n set: 2^n is a page size; the lowest is the granule. */
  readonly pageSizes: bigint;
  /** Inclusive, and whole granules. */
  readonly input: { readonly start: bigint; readonly last: bigint };
  readonly domains: { readonly start: number; readonly last: number };
  /** null: no PROBE. */
  readonly probeSize: number | null;
  readonly mmio: boolean;
  readonly bypassConfig: boolean;
  readonly indirect: boolean;
  readonly eventIdx: boolean;
}

/** Resets the device, agrees on features and reads its configuration. ENODEV: unusable; ETIMEDOUT. */
export function negotiate(mmio: VirtioMmio): DeviceFacts {
  mmio.begin();
  try {
    return agree(mmio);
  } catch (error) {
    mmio.addStatus(STATUS.FAILED);
    throw error;
  }
}

function agree(mmio: VirtioMmio): DeviceFacts {
  const features = mmio.offeredFeatures() & WANTED;
  const has = (name: Parameters<typeof hasFeature>[1]) => hasFeature(features, name);
  ensure(has('VERSION_1'), 'ENODEV', 'the device is a legacy one');
  ensure(has('MAP_UNMAP'), 'ENODEV', 'the device has no MAP and UNMAP');
  mmio.acceptFeatures(features);
  const pageSizes = mmio.config64(CONFIG.PAGE_SIZE_MASK);
  ensure(pageSizes !== 0n, 'ENODEV', 'page_size_mask is 0');
  const probeSize = has('PROBE') ? mmio.config32(CONFIG.PROBE_SIZE) : null;
  ensure(probeSize === null || probeSize <= MOST_PROPERTIES, 'ENODEV', `a probe_size of ${probeSize} is absurd`);
  return {
    pageSizes,
    input: inputRange(mmio, has('INPUT_RANGE'), pageSizes & -pageSizes),
    domains: has('DOMAIN_RANGE')
      ? { start: mmio.config32(CONFIG.DOMAIN_RANGE_START), last: mmio.config32(CONFIG.DOMAIN_RANGE_END) }
      : { start: 0, last: 0xffff_ffff },
    probeSize,
    mmio: has('MMIO'),
    bypassConfig: has('BYPASS_CONFIG'),
    indirect: has('INDIRECT_DESC'),
    eventIdx: has('EVENT_IDX'),
  };
}

function inputRange(mmio: VirtioMmio, present: boolean, granule: bigint): DeviceFacts['input'] {
  if (!present) return { start: 0n, last: (1n << 64n) - 1n };
  const start = (mmio.config64(CONFIG.INPUT_RANGE_START) + granule - 1n) & ~(granule - 1n);
  const last = ((mmio.config64(CONFIG.INPUT_RANGE_END) + 1n) & ~(granule - 1n)) - 1n;
  ensure(start <= last, 'ENODEV', 'the input range holds no whole page');
  return { start, last };
}

/** What the unit can do, in the contract's words. */
export function capabilitiesOf(facts: DeviceFacts): Capability[] {
  const list: Capability[] = ['write-only-mapping', 'whole-mappings', 'reports-blocked'];
  if ((facts.pageSizes & (facts.pageSizes - 1n)) !== 0n) list.push('large-pages');
  if (facts.bypassConfig) list.push('identity-passthrough');
  return list;
}
