import type { FeatureName } from '../format/features.ts';
import type { ResvSubtypeName } from '../format/properties.ts';

/** What one instance of the device is. Every `last` is inclusive. */
export interface VirtioIommuHardware {
  /** Offered features; VERSION_1 is always offered too. */
  readonly features: readonly FeatureName[];
  /** At least one bit; the lowest is the granule. */
  readonly pageSizeMask: bigint;
  readonly inputRange: { readonly start: bigint; readonly last: bigint };
  readonly domainRange: { readonly start: number; readonly last: number };
  /** Bytes of the property area of PROBE. */
  readonly probeSize: number;
  /** Value of the `bypass` byte after a system reset. */
  readonly bypass: 0 | 1;
  readonly reserved: readonly ReservedSetting[];
  /** Ids that exist, as the VIOT's ranges name them. */
  readonly endpoints: readonly { readonly first: number; readonly last: number }[];
  /** QueueSizeMax of both queues: a power of two. */
  readonly queueSizeMax: number;
  /** Width of a guest-physical address: a MAP beyond it fails. */
  readonly physicalBits: number;
  /** Bounds on what a guest can make the device remember. */
  readonly maxMappings: number;
  readonly maxDomains: number;
}

/** A RESV_MEM region. Without `endpoint` it holds for all of them. */
export interface ReservedSetting {
  readonly endpoint?: number;
  readonly subtype: ResvSubtypeName;
  readonly start: bigint;
  readonly end: bigint;
}
