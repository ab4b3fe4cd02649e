import { type Capability, ensure, type VendorConfig } from '@iommukit/core';
import { type FeatureName, featureBits, hasFeature } from './format/features.ts';
import { RESV_MEM_BYTES } from './format/properties.ts';
import { QUEUE_SIZE_LIMIT } from './format/ring.ts';
import { INTERRUPT_NAME } from './hardware/device.ts';
import type { ReservedSetting, VirtioIommuHardware } from './hardware/settings.ts';

const BASE: readonly FeatureName[] = ['INPUT_RANGE', 'DOMAIN_RANGE', 'MAP_UNMAP', 'PROBE', 'MMIO', 'BYPASS_CONFIG'];
const RING: readonly FeatureName[] = ['INDIRECT_DESC', 'EVENT_IDX'];
const without = (...names: FeatureName[]) => BASE.filter((name) => !names.includes(name));

/** The doorbell window of x86, which every x86 VMM has to name. */
export const X86_MSI: ReservedSetting = { subtype: 'MSI', start: 0xfee0_0000n, end: 0xfeef_ffffn };

/** Largest property area an instance may have. */
export const PROBE_SIZE_LIMIT = 1 << 20;

const upTo = (bits: number) => ({ start: 0n, last: (1n << BigInt(bits)) - 1n });

/** A server's device: everything offered but the ring features. */
export const DEFAULT_HARDWARE: VirtioIommuHardware = {
  features: BASE,
  pageSizeMask: 0xffff_ffff_ffff_f000n,
  inputRange: upTo(48),
  domainRange: { start: 0, last: 0xffff_ffff },
  probeSize: 512,
  bypass: 0,
  reserved: [X86_MSI],
  endpoints: [{ first: 0, last: 0xffff }],
  queueSizeMax: 256,
  physicalBits: 52,
  maxMappings: 1 << 21,
  maxDomains: 1 << 16,
};

const COMMON: readonly Capability[] = ['write-only-mapping', 'whole-mappings', 'reports-blocked', 'large-pages'];
const WITH_BYPASS: readonly Capability[] = [...COMMON, 'identity-passthrough'];

function variant(
  name: string,
  title: string,
  changes: Partial<VirtioIommuHardware>,
  declared: readonly Capability[] = WITH_BYPASS,
): VendorConfig<VirtioIommuHardware> {
  const hardware = { ...DEFAULT_HARDWARE, ...changes };
  return { name, title, hardware, properties: {}, interrupts: [INTERRUPT_NAME], declared };
}

/** Each varies one thing from the default. */
export const CONFIGS: readonly VendorConfig<VirtioIommuHardware>[] = [
  variant('default', 'PROBE, bypass domains, 48-bit input, 4 KiB granule, MSI region', {}),
  variant('no-probe', 'without PROBE: no regions are known', { features: without('PROBE'), reserved: [] }),
  variant('boot-bypass', 'unattached endpoints pass until the driver closes the door', { bypass: 1 }),
  variant(
    'no-bypass-config',
    'without bypass domains: identity is mapped 1:1',
    { features: without('BYPASS_CONFIG') },
    COMMON,
  ),
  variant('granule-64k', '64 KiB granule', { pageSizeMask: 0xffff_ffff_ffff_0000n }),
  variant('indirect-event-idx', 'indirect descriptors and event indices', { features: [...BASE, ...RING] }),
  variant('39-bit', '39-bit input range', { inputRange: upTo(39) }),
];

/** The settings of a configuration, checked: EINVAL for an instance that cannot exist. */
export function hardwareOf(config: VendorConfig): VirtioIommuHardware {
  const settings = config.hardware as VirtioIommuHardware;
  checkHardware(settings);
  return settings;
}

export function checkHardware(settings: VirtioIommuHardware): void {
  const { pageSizeMask, inputRange, domainRange, probeSize, queueSizeMax, features, bypass, physicalBits } = settings;
  const u64 = (value: bigint) => value >= 0n && value < 1n << 64n;
  const u32 = (value: number) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
  ensure(pageSizeMask > 0n && u64(pageSizeMask), 'EINVAL', 'pageSizeMask has at least one of 64 bits');
  ensure(u64(inputRange.start) && u64(inputRange.last), 'EINVAL', 'inputRange lies within 64 bits');
  ensure(inputRange.start <= inputRange.last, 'EINVAL', 'inputRange is empty');
  ensure(u32(domainRange.start) && u32(domainRange.last), 'EINVAL', 'domainRange lies within 32 bits');
  ensure(domainRange.start <= domainRange.last, 'EINVAL', 'domainRange is empty');
  ensure(u32(probeSize) && probeSize <= PROBE_SIZE_LIMIT, 'EINVAL', 'probeSize is 0 … 2^20');
  const power = Number.isInteger(Math.log2(queueSizeMax));
  ensure(power && queueSizeMax >= 1 && queueSizeMax <= QUEUE_SIZE_LIMIT, 'EINVAL', 'queueSizeMax is a power of two');
  ensure(bypass === 0 || bypass === 1, 'EINVAL', 'bypass is 0 or 1');
  ensure(physicalBits >= 1 && physicalBits <= 64, 'EINVAL', 'physicalBits is 1 … 64');
  for (const region of settings.reserved) checkRegion(region);
  const largest = Math.max(0, ...regionCounts(settings.reserved));
  const fits = !hasFeature(featureBits(features), 'PROBE') || largest * RESV_MEM_BYTES <= probeSize;
  ensure(fits, 'EINVAL', `${largest} reserved regions do not fit a probeSize of ${probeSize}`);
}

function checkRegion({ start, end, endpoint }: ReservedSetting): void {
  const valid = start >= 0n && start <= end && end < 1n << 64n;
  ensure(valid, 'EINVAL', 'a reserved region has start <= end, within 64 bits');
  const known = endpoint === undefined || (Number.isInteger(endpoint) && endpoint >= 0 && endpoint <= 0xffff_ffff);
  ensure(known, 'EINVAL', 'the endpoint of a reserved region is a 32-bit id');
}

/** How many regions each endpoint that is named, and any that is not, has. */
function regionCounts(reserved: readonly ReservedSetting[]): number[] {
  const common = reserved.filter(({ endpoint }) => endpoint === undefined).length;
  const named = new Set(reserved.flatMap(({ endpoint }) => (endpoint === undefined ? [] : [endpoint])));
  return [common, ...[...named].map((id) => common + reserved.filter(({ endpoint }) => endpoint === id).length)];
}
