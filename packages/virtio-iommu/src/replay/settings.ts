import { ensure, IommuError, isIommuError } from '@iommukit/core';
import { checkHardware, DEFAULT_HARDWARE, X86_MSI } from '../config.ts';
import { FEATURE_NAMES, type FeatureName } from '../format/features.ts';
import { RESV_SUBTYPE, type ResvSubtypeName } from '../format/properties.ts';
import type { ReservedSetting, VirtioIommuHardware } from '../hardware/settings.ts';

const TOP = (1n << 64n) - 1n;

/** What the file may say; everything else of the instance stays at its default. */
const KEYS = ['pageSizeMask', 'inputRange', 'domainRange', 'probeSize', 'bypass', 'features', 'reserved'];

export interface ReplaySettings {
  readonly hardware: VirtioIommuHardware;
  /** What the file did not say, and the stream may tell. */
  readonly open: { readonly probeSize: boolean; readonly reserved: boolean };
}

/**
 * A device as permissive as the manual allows: limits that a stream does not state must not make its requests fail.
 * The rest is what x86 QEMU offers.
 */
const PERMISSIVE: VirtioIommuHardware = {
  ...DEFAULT_HARDWARE,
  features: [...DEFAULT_HARDWARE.features, 'INDIRECT_DESC', 'EVENT_IDX'],
  inputRange: { start: 0n, last: TOP },
  bypass: 1,
  physicalBits: 64,
  maxMappings: 1 << 22,
};

/** Settings from the user's JSON; null = defaults. Throws IommuError EINVAL. */
export function parseSettings(config: unknown, endpoints: readonly number[]): ReplaySettings {
  const given = (config ?? {}) as Record<string, unknown>;
  ensure(typeof given === 'object' && !Array.isArray(given), 'EINVAL', 'the configuration is not an object');
  for (const key of Object.keys(given)) ensure(KEYS.includes(key), 'EINVAL', `there is no setting '${key}'`);
  const features = given.features === undefined ? PERMISSIVE.features : toFeatures(given.features);
  const inputRange = given.inputRange === undefined ? PERMISSIVE.inputRange : toRange(given.inputRange, 'inputRange');
  const domainRange = given.domainRange === undefined ? null : toRange(given.domainRange, 'domainRange');
  const hardware: VirtioIommuHardware = {
    ...PERMISSIVE,
    features,
    pageSizeMask:
      given.pageSizeMask === undefined ? PERMISSIVE.pageSizeMask : toBig(given.pageSizeMask, 'pageSizeMask'),
    inputRange,
    domainRange: domainRange
      ? { start: Number(domainRange.start), last: Number(domainRange.last) }
      : PERMISSIVE.domainRange,
    probeSize: given.probeSize === undefined ? PERMISSIVE.probeSize : Number(toBig(given.probeSize, 'probeSize')),
    bypass: given.bypass === undefined ? PERMISSIVE.bypass : toBypass(given.bypass),
    reserved: given.reserved === undefined ? defaultRegions(features) : toRegions(given.reserved),
    endpoints: endpoints.map((id) => ({ first: id, last: id })),
  };
  checkHardware(hardware);
  return { hardware, open: { probeSize: given.probeSize === undefined, reserved: given.reserved === undefined } };
}

/** A device without PROBE has no way to name a region. */
const defaultRegions = (features: readonly FeatureName[]): ReservedSetting[] =>
  features.includes('PROBE') ? [X86_MSI] : [];

function toBig(value: unknown, key: string): bigint {
  try {
    if (typeof value === 'string' && value.trim() !== '') return BigInt(value);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  } catch (error) {
    if (isIommuError(error)) throw error;
  }
  throw new IommuError('EINVAL', `${key}: ${JSON.stringify(value)} is no number`);
}

function toRange(value: unknown, key: string): { start: bigint; last: bigint } {
  ensure(Array.isArray(value) && value.length === 2, 'EINVAL', `${key} is [start, end]`);
  return { start: toBig(value[0], key), last: toBig(value[1], key) };
}

function toBypass(value: unknown): 0 | 1 {
  const bit = typeof value === 'boolean' ? Number(value) : value;
  ensure(bit === 0 || bit === 1, 'EINVAL', 'bypass is 0 or 1');
  return bit;
}

function toFeatures(value: unknown): FeatureName[] {
  ensure(Array.isArray(value), 'EINVAL', 'features is a list of names');
  return value.map((name: unknown) => {
    const known = FEATURE_NAMES.find((feature) => feature === String(name).replace(/^VIRTIO_(IOMMU|RING)?_?F_/, ''));
    ensure(known !== undefined, 'EINVAL', `there is no feature ${JSON.stringify(name)}`);
    return known;
  });
}

function toRegions(value: unknown): ReservedSetting[] {
  ensure(Array.isArray(value), 'EINVAL', 'reserved is a list of regions');
  return value.map((region: unknown) => {
    const fields = (region ?? {}) as Record<string, unknown>;
    const subtype = String(fields.subtype);
    ensure(Object.hasOwn(RESV_SUBTYPE, subtype), 'EINVAL', 'the subtype of a region is RESERVED or MSI');
    const bounds = { start: toBig(fields.start, 'start'), end: toBig(fields.end, 'end') };
    const common = { subtype: subtype as ResvSubtypeName, ...bounds };
    return fields.endpoint === undefined ? common : { ...common, endpoint: Number(toBig(fields.endpoint, 'endpoint')) };
  });
}
