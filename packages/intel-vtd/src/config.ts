import { toBig, type Values } from '@iommukit/bits';
import { type Capability, ensure, type VendorConfig } from '@iommukit/core';
import { CAP, ECAP, SAGAW, SSLPS } from './format/index.ts';
import type { VtdHardwareConfig } from './hardware/hardware.ts';

export interface VtdFeatures {
  /** VER, major version in bits 7:4. */
  readonly version: number;
  readonly cap: Partial<Values<typeof CAP.fields>>;
  readonly ecap: Partial<Values<typeof ECAP.fields>>;
  /** 12 to 52. */
  readonly hostAddressBits?: number;
}

/** `first` needs all of `others`; names of CAP and ECAP fields, which do not clash except FSTS's namesakes. VT-d 11.4.3. */
const NEEDS: readonly (readonly [first: string, ...others: string[]])[] = [
  ['DT', 'QI'],
  ['IR', 'QI'],
  ['SMTS', 'QI'],
  ['PASID', 'SMTS'],
  ['SRS', 'SMTS'],
  ['RPS', 'SMTS'],
  ['FSTS', 'SMTS'],
  ['SMPWCS', 'SMTS'],
  ['MTS', 'SMTS'],
  ['NEST', 'SMTS', 'FSTS', 'SSTS'],
  ['PRS', 'DT', 'SMTS'],
  ['PDS', 'DT'],
  ['DIT', 'DT'],
  ['NWFS', 'DT'],
  ['EAFS', 'FSTS', 'SMPWCS'],
  ['RPRIVS', 'SRS'],
  ['FS5LP', 'FSTS'],
  ['FS1GP', 'FSTS'],
  ['SSADS', 'SMPWCS', 'SSTS'],
  ['HPTS', 'SMTS', 'DT'],
  ['HPT1GPS', 'HPTS'],
  ['PTRS', 'DT', 'PASID'],
  ['SSIRWS', 'SSTS'],
  ['SMS', 'PRS'],
  ['PMS', 'ECMDS'],
  ['EIM', 'IR'],
  ['IRREQ', 'IR'],
  ['PI', 'IR'],
  ['EIMER', 'EIM'],
];

/**
 * A unit's identification registers from their fields. Throws IommuError EINVAL for a combination the architecture
 * rules out, and RangeError for a value that does not fit its field.
 */
export function vtdHardware({ version, cap, ecap, hostAddressBits = 52 }: VtdFeatures): VtdHardwareConfig {
  const has: Readonly<Record<string, unknown>> = { ...cap, ...ecap };
  for (const [first, ...others] of NEEDS)
    for (const other of others) ensure(!has[first] || Boolean(has[other]), 'EINVAL', `${first} needs ${other}`);
  ensure(!ecap.SMTS || !cap.RWBF, 'EINVAL', 'SMTS rules out RWBF');
  ensure(cap.ND !== 7, 'EINVAL', 'CAP.ND holds its reserved value');
  const capWords = CAP.encode(cap);
  const ecapWords = ECAP.encode(ecap);
  return {
    version,
    cap: toBig(capWords[1]!, capWords[0]!),
    ecap: toBig(ecapWords[1]!, ecapWords[0]!),
    hostAddressBits,
  };
}

const MGAW_39 = 38;
const MGAW_48 = 47;
const MGAW_57 = 56;
const LEGACY_VERSION = 0x10;
/** Draining is always on, register-based invalidation is gone, execute requests are judged by the PASID entry. */
const SCALABLE_VERSION = 0x70;

const CAP_BASE = {
  ND: 6,
  PLMR: true,
  PHMR: true,
  SAGAW: SAGAW.LEVELS_4,
  MGAW: MGAW_48,
  FRO: 0x22,
  SSLPS: SSLPS.SIZE_2M | SSLPS.SIZE_1G,
  PSI: true,
  NFR: 7,
  MAMV: 18,
  DWD: true,
  DRD: true,
} as const;
const ECAP_BASE = { C: true, QI: true, PT: true, SC: true, IRO: 0xf } as const;
const SCALABLE = { ...ECAP_BASE, SMTS: true, PASID: true, PSS: 19, SMPWCS: true } as const;
const FIRST = { FSTS: true, SRS: true, EAFS: true } as const;
const SECOND = { SSTS: true, SSADS: true } as const;

const COMMON: readonly Capability[] = [
  'hw-info',
  'enforce-cache-coherency',
  'large-pages',
  'reports-blocked',
  'identity-passthrough',
];
const LEGACY: readonly Capability[] = [...COMMON, 'write-only-mapping'];
const NESTED: readonly Capability[] = [...COMMON, 'pasid', 'dirty-tracking', 'nest-parent', 'nested-on-parent'];

function config(
  name: string,
  title: string,
  features: VtdFeatures,
  declared: readonly Capability[],
): VendorConfig<VtdHardwareConfig> {
  return {
    name,
    title,
    hardware: vtdHardware(features),
    properties: {},
    interrupts: ['fault', 'completion'],
    declared,
  };
}

const legacy = (name: string, title: string, cap: VtdFeatures['cap'], ecap: VtdFeatures['ecap'] = {}) =>
  config(
    name,
    title,
    { version: LEGACY_VERSION, cap: { ...CAP_BASE, ...cap }, ecap: { ...ECAP_BASE, ...ecap } },
    LEGACY,
  );

const scalable = (
  name: string,
  title: string,
  declared: readonly Capability[],
  ecap: VtdFeatures['ecap'],
  cap: VtdFeatures['cap'] = {},
) =>
  config(
    name,
    title,
    { version: SCALABLE_VERSION, cap: { ...CAP_BASE, ...cap }, ecap: { ...SCALABLE, ...ecap } },
    declared,
  );

/** What the conformance suite runs. The first is the default. */
export const VTD_CONFIGS: readonly VendorConfig<VtdHardwareConfig>[] = [
  scalable(
    'scalable-nested',
    'scalable mode, both stages nested, PASIDs, 48 bits',
    NESTED,
    { ...FIRST, ...SECOND, NEST: true },
    { FS1GP: true },
  ),
  scalable('scalable-fs', 'scalable mode, first stage only', [...COMMON, 'pasid'], FIRST, { FS1GP: true }),
  scalable(
    'scalable-ss',
    'scalable mode, second stage only, with accessed/dirty flags',
    [...COMMON, 'pasid', 'dirty-tracking', 'write-only-mapping'],
    SECOND,
  ),
  scalable(
    'scalable-5level',
    'scalable mode, five levels in both stages, invalidation by SRTP',
    NESTED,
    { ...FIRST, ...SECOND, NEST: true },
    { FS1GP: true, FS5LP: true, SAGAW: SAGAW.LEVELS_4 | SAGAW.LEVELS_5, MGAW: MGAW_57, ESRTPS: true },
  ),
  legacy('legacy-4level', 'legacy mode, four levels', {}),
  legacy('legacy-3level', 'legacy mode, three levels, write-buffer flushing', {
    SAGAW: SAGAW.LEVELS_3,
    MGAW: MGAW_39,
    RWBF: true,
  }),
  legacy('legacy-5level', 'legacy mode, five levels', { SAGAW: SAGAW.LEVELS_5, MGAW: MGAW_57 }),
  legacy('legacy-cm', 'legacy mode of a virtual unit: caching mode', { CM: true }),
  legacy('legacy-no-psi', 'legacy mode, no page-selective invalidation', { PSI: false, MAMV: 0 }),
  legacy('legacy-registers', 'legacy mode, no queue: register-based invalidation', {}, { QI: false }),
];
