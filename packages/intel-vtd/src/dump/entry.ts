import { PERMISSION } from '@iommukit/core';
import type { Features } from '../hardware/features.ts';

/** One page-table entry as a lister sees it; null where hardware would not use it. */
export interface TableEntry {
  readonly leaf: boolean;
  readonly address: bigint;
  /** READ and WRITE of an unprivileged request, as far as this entry lets. */
  readonly rights: number;
}

export type EntryReader = (value: bigint, level: number) => TableEntry | null;

const ADDRESS = 0x000f_ffff_ffff_f000n;
const PS = 1n << 7n;
const bit = (value: bigint, n: bigint): boolean => ((value >> n) & 1n) !== 0n;

export const pageBytes = (level: number): bigint => 1n << BigInt(3 + 9 * level);

/** Address bits that a leaf must leave clear; the lowest of them is PAT in a large first-stage leaf. */
const below = (level: number, from: bigint): bigint => (pageBytes(level) - 1n) & ~((1n << from) - 1n);

const hostLimit = (features: Features): bigint => ADDRESS & ~((1n << BigInt(features.hostAddressBits)) - 1n);

/** Second-stage entries. VT-d 9.8. */
export function secondStageReader(features: Features, ssirwe: boolean): EntryReader {
  const beyond = hostLimit(features);
  const sizes = [false, true, (features.cap.SSLPS & 1) !== 0, (features.cap.SSLPS & 2) !== 0, false, false];
  return (value, level) => {
    const [read, write] = ssirwe ? [61n, 62n] : [0n, 1n];
    const rights = (bit(value, read) ? PERMISSION.READ : 0) | (bit(value, write) ? PERMISSION.WRITE : 0);
    if (rights === 0 || (value & beyond) !== 0n || (!ssirwe && bit(value, 62n))) return null;
    const leaf = level === 1 || (value & PS) !== 0n;
    if (bit(value, 11n) && (!leaf || !features.ecap.SC)) return null;
    if (leaf && (!sizes[level] || (value & below(level, 12n)) !== 0n)) return null;
    return { leaf, address: value & ADDRESS, rights };
  };
}

/** First-stage entries. VT-d 9.7. */
export function firstStageReader(features: Features): EntryReader {
  const beyond = hostLimit(features);
  const sizes = [false, true, true, features.cap.FS1GP, false, false];
  return (value, level) => {
    if (!bit(value, 0n) || (value & beyond) !== 0n || !bit(value, 2n)) return null;
    const leaf = level === 1 || (value & PS) !== 0n;
    const rights = bit(value, 1n) ? PERMISSION.READ | PERMISSION.WRITE : PERMISSION.READ;
    if (!leaf) return { leaf, address: value & ADDRESS, rights };
    if (!sizes[level] || (level > 1 && (value & below(level, 13n)) !== 0n)) return null;
    return { leaf, address: value & ADDRESS & ~(pageBytes(level) - 1n), rights };
  };
}
