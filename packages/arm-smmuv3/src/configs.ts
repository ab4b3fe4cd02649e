import type { Capability } from '@iommukit/core';
import { type SmmuConfig, type SmmuVendorConfig, vendorConfig } from './config.ts';

const ALWAYS: readonly Capability[] = [
  'hw-info',
  'enforce-cache-coherency',
  'execute-permission',
  'large-pages',
  'identity-passthrough',
];
const STAGE1: readonly Capability[] = [...ALWAYS, 'pasid'];
const STAGE2: readonly Capability[] = [...ALWAYS, 'write-only-mapping'];
const NESTED: readonly Capability[] = [...STAGE1, 'nest-parent', 'viommu'];

const S1: Partial<SmmuConfig> = { s2: false };
const S2: Partial<SmmuConfig> = { s1: false, ssidBits: 0 };

/** The units this vendor offers. The first is the default. */
export const CONFIGS: readonly SmmuVendorConfig[] = [
  vendorConfig('nested-4k', 'both stages, 4 KiB granule', { granules: [12] }, NESTED),
  vendorConfig('s1-4k', 'stage 1 only, 4 KiB granule', { ...S1, granules: [12] }, STAGE1),
  vendorConfig('s2-4k', 'stage 2 only, 4 KiB granule', { ...S2, granules: [12] }, STAGE2),
  vendorConfig('s1-16k', 'stage 1 only, 16 KiB granule, no substreams', { ...S1, granules: [14], ssidBits: 0 }, ALWAYS),
  vendorConfig('s1-64k', 'stage 1 only, 64 KiB granule', { ...S1, granules: [16] }, STAGE1),
  vendorConfig('s2-16k', 'stage 2 only, 16 KiB granule', { ...S2, granules: [14] }, STAGE2),
  vendorConfig('s2-64k', 'stage 2 only, 64 KiB granule', { ...S2, granules: [16] }, STAGE2),
  vendorConfig(
    's1-64k-52bit',
    'stage 1 only, 64 KiB granule, 52-bit addresses',
    { ...S1, granules: [16], oas: 52, va52: true },
    STAGE1,
  ),
  vendorConfig(
    's2-4k-40bit',
    'stage 2 only, 40-bit addresses: two concatenated root tables',
    { ...S2, granules: [12], oas: 40 },
    STAGE2,
  ),
  vendorConfig(
    'no-ril',
    'architecture v3.1: no range invalidation, no forced write-back, wired interrupts, 8-bit ids',
    { v32: false, msi: false, sev: false, asid16: false, vmid16: false, granules: [12] },
    NESTED,
  ),
];

/**
 * Six StreamID bits, the most that ST_LEVEL = 0 allows. Not among {@link CONFIGS}: PCI requester ids of any second bus do
 * not fit, so the shared suite has no devices for it.
 */
export const LINEAR_STREAM_TABLE = vendorConfig(
  'linear-strtab',
  'six StreamID bits and sixteen CDs: linear tables only',
  { sidBits: 6, twoLevelStreams: false, twoLevelContexts: false, ssidBits: 4, granules: [12] },
  NESTED,
);
