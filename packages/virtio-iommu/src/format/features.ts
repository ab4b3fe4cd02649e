/** Feature bits of device type 23, and the ring features any device may offer. Virtio 1.3 §5.13.3 and §6. */
export const FEATURES = {
  INPUT_RANGE: 0,
  DOMAIN_RANGE: 1,
  MAP_UNMAP: 2,
  /** Legacy: unattached endpoints pass untranslated when the driver accepted it. */
  BYPASS: 3,
  PROBE: 4,
  MMIO: 5,
  BYPASS_CONFIG: 6,
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
} as const;
export type FeatureName = keyof typeof FEATURES;
export const FEATURE_NAMES = Object.keys(FEATURES) as readonly FeatureName[];

/** The bits of the named features. */
export const featureBits = (names: readonly FeatureName[]): bigint =>
  names.reduce((bits, name) => bits | (1n << BigInt(FEATURES[name])), 0n);

export const hasFeature = (bits: bigint, name: FeatureName): boolean => ((bits >> BigInt(FEATURES[name])) & 1n) === 1n;
