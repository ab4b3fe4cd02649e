import type { Layout } from '@iommukit/bits';

/**
 * An onlooker on a hardware model: `--explain`, `compare` and tests listen here. It observes and cannot act; a model
 * calls it only when one is set, so that it costs the hot path one test for null.
 */
export interface HardwareProbe {
  /** A structure or descriptor was read from memory (not from a cache) on the way of a translation. */
  structure?(what: string, address: bigint, layout: Layout, words: Uint32Array): void;
  /** A command, descriptor or request was taken from a native queue. `raw` is its bytes in memory order. */
  command?(kind: string, raw: Uint8Array): void;
  /** A native fault or event record was produced. */
  record?(kind: string, raw: Uint8Array): void;
}
