import { type FeatureName, featureBits, hasFeature } from '../format/features.ts';

/** Offered and accepted features, as the rules of requests need them: plain booleans. */
export class FeatureState {
  readonly offered: bigint;
  /** What the driver wrote so far; {@link settle} decides about it. */
  accepted = 0n;
  readonly probeOffered: boolean;
  readonly bypassConfigOffered: boolean;
  /** Accepted, that is: negotiated. */
  bypassConfig = false;
  mapUnmap = false;
  bypass = false;
  mmio = false;
  indirect = false;
  eventIdx = false;

  constructor(names: readonly FeatureName[]) {
    this.offered = featureBits([...names, 'VERSION_1']);
    this.probeOffered = hasFeature(this.offered, 'PROBE');
    this.bypassConfigOffered = hasFeature(this.offered, 'BYPASS_CONFIG');
  }

  /** FEATURES_OK: true, and in force, when the driver took nothing that was not offered and is no legacy driver. */
  settle(): boolean {
    if ((this.accepted & ~this.offered) !== 0n || !hasFeature(this.accepted, 'VERSION_1')) return false;
    this.bypassConfig = hasFeature(this.accepted, 'BYPASS_CONFIG');
    this.mapUnmap = hasFeature(this.accepted, 'MAP_UNMAP');
    this.bypass = hasFeature(this.accepted, 'BYPASS');
    this.mmio = hasFeature(this.accepted, 'MMIO');
    this.indirect = hasFeature(this.accepted, 'INDIRECT_DESC');
    this.eventIdx = hasFeature(this.accepted, 'EVENT_IDX');
    return true;
  }

  reset(): void {
    this.accepted = 0n;
    this.bypassConfig = this.mapUnmap = this.bypass = this.mmio = this.indirect = this.eventIdx = false;
  }
}
