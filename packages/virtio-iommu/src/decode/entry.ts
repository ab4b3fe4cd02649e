import { bytesToHex, type Layout } from '@iommukit/bits';
import type { DecodedEntry } from '@iommukit/core';

export type DecodedFields = Record<string, boolean | number | bigint | string>;

/** Reserved bits found set, in the form of {@link DecodedEntry.reserved}. */
export const reservedOf = (layout: Layout, words: Uint32Array): string[] =>
  layout.reserved(words).map(({ msb, lsb, value }) => `[${msb}:${lsb}]=0x${value.toString(16)}`);

/** What cannot be told apart at all. */
export const unknown = (kind: string, bytes: Uint8Array, fields: DecodedFields, problem: string): DecodedEntry => ({
  kind,
  name: 'UNKNOWN',
  fields,
  raw: bytesToHex(bytes),
  reserved: [],
  problems: [problem],
});
