import type { VendorConfig } from '@iommukit/core';
import { ADDRESS_BITS, AIDR, IDR0, IDR1, IDR3, IDR5, INTERRUPT } from './format/registers.ts';

/** What an instance of the model advertises; everything else follows from these. */
export interface SmmuConfig {
  readonly s1: boolean;
  readonly s2: boolean;
  /** log2 of the granules: 12, 14, 16. */
  readonly granules: readonly number[];
  /** Output address bits: 32, 36, 40, 42, 44, 48, 52 (52 needs the 64 KiB granule). */
  readonly oas: number;
  /** 52-bit stage-1 input addresses with 64 KiB granules. */
  readonly va52: boolean;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly twoLevelStreams: boolean;
  readonly twoLevelContexts: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  /** Architecture v3.2 with range invalidation, forced write-back and (with both stages) EL2 streams; else v3.1. */
  readonly v32: boolean;
  readonly msi: boolean;
  readonly sev: boolean;
  /** log2 of the largest command and event queue. */
  readonly cmdqLg2: number;
  readonly eventqLg2: number;
}

const DEFAULTS: SmmuConfig = {
  s1: true,
  s2: true,
  granules: [12, 14, 16],
  oas: 48,
  va52: false,
  sidBits: 16,
  ssidBits: 16,
  twoLevelStreams: true,
  twoLevelContexts: true,
  asid16: true,
  vmid16: true,
  v32: true,
  msi: true,
  sev: true,
  cmdqLg2: 12,
  eventqLg2: 10,
};

/** A configuration from its differences to the default. Throws RangeError where IHI 0070 6.3 forbids the mixture. */
export function smmuConfig(differences: Partial<SmmuConfig> = {}): SmmuConfig {
  const config = { ...DEFAULTS, ...differences };
  const demand = (holds: boolean, what: string) => {
    if (!holds) throw new RangeError(`SMMU configuration: ${what}`);
  };
  demand(config.s1 || config.s2, 'at least one stage');
  demand(
    config.granules.length > 0 && config.granules.every((g) => [12, 14, 16].includes(g)),
    'granules are 12, 14, 16',
  );
  demand(ADDRESS_BITS.slice(0, 7).includes(config.oas), `OAS of ${config.oas} bits does not exist`);
  demand(config.oas < 52 || config.granules.includes(16), 'OAS of 52 bits needs the 64 KiB granule');
  demand(!config.va52 || config.granules.includes(16), '52-bit input needs the 64 KiB granule');
  demand(config.sidBits >= 0 && config.sidBits <= 32, 'SIDSIZE is 0 to 32');
  demand(config.sidBits < 7 || config.twoLevelStreams, 'SIDSIZE of 7 or more needs two-level stream tables');
  demand(config.ssidBits >= 0 && config.ssidBits <= 20, 'SSIDSIZE is 0 to 20');
  demand(config.cmdqLg2 >= 0 && config.cmdqLg2 <= 19, 'CMDQS is 0 to 19');
  demand(config.eventqLg2 >= 0 && config.eventqLg2 <= 19, 'EVENTQS is 0 to 19');
  return config;
}

/** The identification registers of a configuration, by name. */
export function identification(
  config: SmmuConfig,
): Readonly<Record<'IDR0' | 'IDR1' | 'IDR3' | 'IDR5' | 'AIDR', bigint>> {
  const { s1, s2, v32 } = config;
  const word = (words: Uint32Array): bigint => BigInt(words[0]!);
  return {
    IDR0: word(
      IDR0.encode({
        S2P: s2,
        S1P: s1,
        TTF: 2,
        COHACC: true,
        HYP: s1 && s2 && v32,
        ASID16: config.asid16,
        MSI: config.msi,
        SEV: config.sev,
        VMW: s2,
        VMID16: s2 && config.vmid16,
        CD2L: s1 && config.twoLevelContexts,
        TTENDIAN: 2,
        STALL_MODEL: 1,
        TERM_MODEL: true,
        ST_LEVEL: config.twoLevelStreams ? 1 : 0,
      }),
    ),
    IDR1: word(
      IDR1.encode({
        SIDSIZE: config.sidBits,
        SSIDSIZE: s1 ? config.ssidBits : 0,
        EVENTQS: config.eventqLg2,
        CMDQS: config.cmdqLg2,
        ATTR_PERMS_OVR: true,
        ATTR_TYPES_OVR: true,
      }),
    ),
    IDR3: word(IDR3.encode({ HAD: s1, XNX: s2, FWB: s2 && v32, RIL: v32, BBML: v32 ? 1 : 0 })),
    IDR5: word(
      IDR5.encode({
        OAS: ADDRESS_BITS.indexOf(config.oas),
        GRAN4K: config.granules.includes(12),
        GRAN16K: config.granules.includes(14),
        GRAN64K: config.granules.includes(16),
        VAX: config.va52 ? 1 : 0,
      }),
    ),
    AIDR: word(AIDR.encode({ ArchMinorRev: v32 ? 2 : 1 })),
  };
}

export type SmmuVendorConfig = VendorConfig<SmmuConfig>;

/** Facts of the IORT node: all devices behind the unit are coherent and stay so. */
const PROPERTIES = { coherentWalk: true } as const;

export function vendorConfig(
  name: string,
  title: string,
  differences: Partial<SmmuConfig>,
  declared: SmmuVendorConfig['declared'],
): SmmuVendorConfig {
  return {
    name,
    title,
    hardware: smmuConfig(differences),
    properties: PROPERTIES,
    interrupts: Object.values(INTERRUPT),
    declared,
  };
}
