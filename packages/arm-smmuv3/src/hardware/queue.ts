import { reader } from '@iommukit/bits';
import { QUEUE_BASE } from '../format/registers.ts';

const LOG2SIZE_MASK = 0x1f;
const log2Size = reader(QUEUE_BASE.fields.LOG2SIZE);

/** log2 of the entries in use: what the base register asks for, no more than the unit has. IHI 0070 3.5.1. */
export const queueLg2 = (baseLo: number, limit: number): number => Math.min(baseLo & LOG2SIZE_MASK, limit);

/** The queue's base address into `out` (lo, hi), aligned down to its size and to 32 bytes. */
export function queueBase(words: Int32Array, at: number, lg2: number, entryBytes: number, out: Int32Array): void {
  const bytes = Math.max(entryBytes << lg2, 32);
  out[0] = words[at]! & -bytes;
  out[1] = words[at + 1]! & 0x00ff_ffff;
}

/** For readers that are not hot. */
export const queueSize = (words: ArrayLike<number>, at: number, limit: number): number =>
  1 << Math.min(log2Size(words, at), limit);
