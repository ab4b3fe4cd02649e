/** Device configuration: byte offsets from the start of configuration space. Virtio 1.3 §5.13.4. */
export const CONFIG = {
  PAGE_SIZE_MASK: 0,
  INPUT_RANGE_START: 8,
  /** Inclusive, as every `END` here. */
  INPUT_RANGE_END: 16,
  DOMAIN_RANGE_START: 24,
  DOMAIN_RANGE_END: 28,
  PROBE_SIZE: 32,
  /** One byte, the only one a driver may write. */
  BYPASS: 36,
} as const;

/** `bypass` and the three reserved bytes behind it included. */
export const CONFIG_BYTES = 40;
