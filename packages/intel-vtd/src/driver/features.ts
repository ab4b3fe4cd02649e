import type { Values } from '@iommukit/bits';
import { hiOf, loOf } from '@iommukit/bits';
import { ensure, type MmioRegion } from '@iommukit/core';
import { CAP, ECAP, REGISTERS, SAGAW, VER } from '../format/index.ts';

/** What the identification registers say, and what follows from it for this driver. Frozen after the probe. */
export interface Features {
  readonly majorVersion: number;
  /** The registers as read, for hw_info. */
  readonly capWord: bigint;
  readonly ecapWord: bigint;
  readonly cap: Values<typeof CAP.fields>;
  readonly ecap: Values<typeof ECAP.fields>;
  /** Host address width in bits, from firmware. */
  readonly hostAddressBits: number;
  /** The unit runs with scalable-mode tables. */
  readonly scalable: boolean;
  /** First-stage tables are usable; paging domains then prefer them. */
  readonly firstStage: boolean;
  readonly secondStage: boolean;
  readonly nested: boolean;
  /** Requests with PASID are usable; {@link pasidBits} is their width. */
  readonly pasid: boolean;
  readonly pasidBits: number;
  /** Second-stage accessed/dirty flags (needs a snooped walk). */
  readonly dirty: boolean;
  readonly deviceTlb: boolean;
  /** AW of the deepest second-stage table the unit walks; 0 without any. */
  readonly widestAw: number;
  /** Number of domain-ids, 2^(4 + 2 ND). */
  readonly domainIds: number;
}

/** Reads VER, CAP and ECAP. ENODEV when no unit answers or it cannot be driven. */
export function readFeatures(mmio: MmioRegion, hostAddressBits: number): Features {
  const capWord = mmio.read64(REGISTERS.CAP.at);
  const ecapWord = mmio.read64(REGISTERS.ECAP.at);
  const majorVersion = VER.decode([mmio.read32(REGISTERS.VER.at)]).MAX;
  const allOnes = (1n << 64n) - 1n;
  ensure(capWord !== allOnes || ecapWord !== allOnes, 'ENODEV', 'the capability registers read as all ones');
  ensure(capWord !== 0n, 'ENODEV', 'the capability register reads as zero');
  const features = derive(capWord, ecapWord, majorVersion, hostAddressBits);
  checkUsable(features);
  return features;
}

function derive(capWord: bigint, ecapWord: bigint, majorVersion: number, hostAddressBits: number): Features {
  const cap = CAP.decode([loOf(capWord), hiOf(capWord)]);
  const ecap = ECAP.decode([loOf(ecapWord), hiOf(ecapWord)]);
  const scalable = ecap.SMTS && ecap.QI;
  const firstStage = scalable && ecap.FSTS;
  const secondStage = tableLevels(cap.SAGAW).length > 0 && (!scalable || ecap.SSTS);
  return {
    majorVersion,
    capWord,
    ecapWord,
    cap,
    ecap,
    hostAddressBits,
    scalable,
    firstStage,
    secondStage,
    nested: firstStage && secondStage && ecap.NEST,
    pasid: scalable && ecap.PASID,
    pasidBits: scalable && ecap.PASID ? Math.min(ecap.PSS + 1, 20) : 0,
    dirty: scalable && secondStage && ecap.SSADS && ecap.SMPWCS,
    deviceTlb: ecap.QI && ecap.DT,
    widestAw: (tableLevels(cap.SAGAW).at(-1) ?? 2) - 2,
    domainIds: 2 ** (4 + 2 * cap.ND),
  };
}

function checkUsable({ cap, ecap, majorVersion, firstStage, secondStage }: Features): void {
  ensure(cap.ND !== 7, 'ENODEV', 'CAP.ND holds its reserved value');
  ensure(ecap.QI || majorVersion < 6, 'ENODEV', 'no invalidation queue, and the registers were removed in version 6');
  ensure(firstStage || secondStage, 'ENODEV', 'no page-table format that this driver can build');
}

const LEVELS: readonly (readonly [bit: number, levels: number])[] = [
  [SAGAW.LEVELS_3, 3],
  [SAGAW.LEVELS_4, 4],
  [SAGAW.LEVELS_5, 5],
];

/** Second-stage table depths the unit walks, ascending; a depth of n translates 12 + 9n bits. */
export const tableLevels = (sagaw: number): number[] =>
  LEVELS.filter(([bit]) => (sagaw & bit) !== 0).map(([, levels]) => levels);
