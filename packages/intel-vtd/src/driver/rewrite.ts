import { maskOf } from '@iommukit/bits';
import { PASID_ENTRY } from '../format/index.ts';
import type { Attachment } from './translation.ts';

/** Bits of a PASID entry that may change while it is present. */
export type LiveBit = 'SSADE' | 'PGSNP';

/**
 * Sets or clears one bit of a live PASID entry, a single 64-bit store, and forgets what hardware read from the old one.
 * Does nothing when the bit stands already. On failure the old value is put back.
 */
export function rewriteEntry(attachment: Attachment, bit: LiveBit, on: boolean): void {
  const { device, pasid, words } = attachment;
  if (PASID_ENTRY.get(words, bit) === on) return;
  const slot = device.slot(pasid);
  flip(words, bit);
  try {
    slot.write(words);
    slot.dropOld(attachment);
  } catch (error) {
    flip(words, bit);
    slot.write(words);
    throw error;
  }
}

function flip(words: Attachment['words'], bit: LiveBit): void {
  const field = PASID_ENTRY.fields[bit];
  const mask = maskOf(field);
  const at = Math.floor(field.lsb / 64) * 2;
  words[at]! ^= Number(mask & 0xffff_ffffn);
  words[at + 1]! ^= Number(mask >> 32n);
}
