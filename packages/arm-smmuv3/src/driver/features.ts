import { ensure, type MmioRegion } from '@iommukit/core';
import { ADDRESS_BITS, IDR0, IDR1, IDR3, IDR5, REGISTERS } from '../format/registers.ts';

/** What this driver makes of the identification registers. Nothing else tells it what the hardware is. */
export interface Features {
  /** IDR0..IDR5, IIDR and AIDR as they were read. */
  readonly raw: Uint32Array;
  readonly stage1: boolean;
  readonly stage2: boolean;
  /** Table walks are coherent with the caches. */
  readonly coherent: boolean;
  readonly hyp: boolean;
  readonly ats: boolean;
  readonly msi: boolean;
  readonly asidBits: number;
  readonly vmidBits: number;
  readonly twoLevelCd: boolean;
  readonly twoLevelStreams: boolean;
  /** IDR0.STALL_MODEL: 0 software chooses, 1 never, 2 always. */
  readonly stallModel: number;
  /** Hardware sets the dirty state of pages, and the driver sees it coherently. */
  readonly dirty: boolean;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly attrTypesOverride: boolean;
  readonly cmdqLg2: number;
  readonly eventqLg2: number;
  readonly rangeInvalidation: boolean;
  readonly s2fwb: boolean;
  /** Physical address width in bits: at most 52, and 48 unless the granule is 64 KiB. */
  readonly oasBits: number;
  /** The granule that all tables of this driver use: 12, 14 or 16. */
  readonly granuleLg2: number;
  /** Input width of a stage 1, in bits. */
  readonly vaBits: number;
}

/** Commands that go out between two publications of the producer index. */
export const BATCH = 64;
/** Queues are a convenience of the driver: no need for half a million entries. */
const CMDQ_LG2_MAX = 12;
const EVENTQ_LG2_MAX = 10;
const TTF_AARCH64 = 2;
const TTENDIAN_BIG = 3;

/** Reads the identification registers. Throws IommuError ENODEV for hardware this driver cannot run. */
export function readFeatures(mmio: MmioRegion): Features {
  const raw = readRaw(mmio);
  const idr0 = IDR0.decode(raw, 0);
  const idr1 = IDR1.decode(raw, 1);
  const idr3 = IDR3.decode(raw, 3);
  const idr5 = IDR5.decode(raw, 5);
  ensure((idr0.TTF & TTF_AARCH64) !== 0, 'ENODEV', 'the SMMU has no AArch64 tables');
  ensure(idr0.S1P || idr0.S2P, 'ENODEV', 'the SMMU has no translation stage');
  ensure(idr0.TTENDIAN !== TTENDIAN_BIG, 'ENODEV', 'the SMMU walks big-endian tables only');
  ensure(!idr1.TABLES_PRESET && !idr1.QUEUES_PRESET && !idr1.REL, 'ENODEV', 'tables or queues are preset');
  ensure(2 ** idr1.CMDQS > BATCH, 'ENODEV', 'the command queue cannot hold a batch and its SYNC');
  const granuleLg2 = idr5.GRAN4K ? 12 : idr5.GRAN16K ? 14 : 16;
  ensure(idr5.GRAN4K || idr5.GRAN16K || idr5.GRAN64K, 'ENODEV', 'the SMMU names no granule');
  const wide = granuleLg2 === 16;
  return {
    raw,
    stage1: idr0.S1P,
    stage2: idr0.S2P,
    coherent: idr0.COHACC,
    hyp: idr0.HYP,
    ats: idr0.ATS,
    msi: idr0.MSI,
    asidBits: idr0.ASID16 ? 16 : 8,
    vmidBits: idr0.VMID16 ? 16 : 8,
    twoLevelCd: idr0.CD2L,
    twoLevelStreams: idr0.ST_LEVEL !== 0,
    stallModel: idr0.STALL_MODEL,
    dirty: idr0.HTTU >= 2 && idr0.COHACC && idr0.S1P,
    sidBits: Math.min(idr1.SIDSIZE, 32),
    ssidBits: idr0.S1P ? Math.min(idr1.SSIDSIZE, 20) : 0,
    attrTypesOverride: idr1.ATTR_TYPES_OVR,
    cmdqLg2: Math.min(idr1.CMDQS, CMDQ_LG2_MAX),
    eventqLg2: Math.min(idr1.EVENTQS, EVENTQ_LG2_MAX),
    rangeInvalidation: idr3.RIL,
    s2fwb: idr3.FWB,
    oasBits: Math.min(ADDRESS_BITS[idr5.OAS]!, wide ? 52 : 48),
    granuleLg2,
    vaBits: wide && idr5.VAX >= 1 ? 52 : 48,
  };
}

/** The code of an address width in CD.IPS and STE.S2PS. */
export const addressSizeCode = (bits: number): number => ADDRESS_BITS.indexOf(bits);

function readRaw(mmio: MmioRegion): Uint32Array {
  const names = ['IDR0', 'IDR1', 'IDR2', 'IDR3', 'IDR4', 'IDR5', 'IIDR', 'AIDR'] as const;
  return Uint32Array.from(names, (name) => mmio.read32(REGISTERS[name].at));
}
