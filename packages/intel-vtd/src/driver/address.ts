import { type Words, wordsToBytes } from '@iommukit/bits';
import { IommuError, type PhysicalMemory } from '@iommukit/core';

const TWO_32 = 2 ** 32;

/** Signed halves of a physical address that a {@link DmaPages} allocator gave out (an exact integer below 2^53). */
export const hiHalf = (pa: number): number => Math.floor(pa / TWO_32) | 0;
export const loHalf = (pa: number): number => pa | 0;

/** Writes a quadword of a structure the driver owns. EIO when memory aborts: the driver's own tables are gone. */
export function store64(memory: PhysicalMemory, pa: number, hi: number, lo: number): void {
  if (!memory.write64(hiHalf(pa), loHalf(pa), hi, lo))
    throw new IommuError('EIO', `memory at 0x${pa.toString(16)} cannot be written`);
}

/** Writes `words` (32-bit, little-endian pairs), the first quadword last, so that a P bit in it appears last. */
export function storeWords(memory: PhysicalMemory, pa: number, words: ArrayLike<number>): void {
  for (let i = words.length - 2; i >= 0; i -= 2) store64(memory, pa + i * 4, words[i + 1]! | 0, words[i]! | 0);
}

/**
 * Replaces the first 16 bytes of a structure at once, as one 16-byte atomic store does: what hardware may read of an entry
 * that is present is the old half or the new one, never a mix (VT-d 6.2.2.1).
 */
export function storePair(memory: PhysicalMemory, pa: number, words: Words): void {
  if (!memory.writeBytes(BigInt(pa), wordsToBytes(words.subarray(0, 4))))
    throw new IommuError('EIO', `memory at 0x${pa.toString(16)} cannot be written`);
}
