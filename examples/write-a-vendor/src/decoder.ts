import { bytesToHex, bytesToWords, hex, type Layout, type Words } from '@iommukit/bits';
import type { DecodedEntry, NativeDecoder } from '@iommukit/core';
import { CODE_NAMES, DEVICE_ENTRY, INV_DEVICE, INV_ROOT, OP, PTE, RECORD } from './format/structures.ts';

/** The layout of an entry and its mnemonic; null where the encoding has no meaning. */
interface Meaning {
  readonly layout: Layout;
  readonly name: string | null;
}

const READERS: Readonly<Record<string, (words: Words) => Meaning>> = {
  'device-entry': (words) => ({
    layout: DEVICE_ENTRY,
    name: DEVICE_ENTRY.fields.MODE.names[DEVICE_ENTRY.get(words, 'MODE')] ?? null,
  }),
  pte: () => ({ layout: PTE, name: 'PTE' }),
  command: commandOf,
  record: (words) => ({ layout: RECORD, name: CODE_NAMES[RECORD.get(words, 'CODE') || -1] ?? null }),
};

function commandOf(words: Words): Meaning {
  const op = INV_DEVICE.get(words, 'OP');
  if (op === OP.INV_DEVICE) return { layout: INV_DEVICE, name: 'INV_DEVICE' };
  return { layout: INV_ROOT, name: op === OP.INV_ROOT ? 'INV_ROOT' : null };
}

export const decoder: NativeDecoder = {
  kinds: Object.keys(READERS),
  sizes: (kind) => (kind === 'record' ? [RECORD.bytes] : [8]),
  decode(kind, bytes): DecodedEntry {
    const words = bytesToWords(bytes);
    const { layout, name } = READERS[kind]!(words);
    const reserved = layout.reserved(words).map(({ msb, lsb, value }) => `[${msb}:${lsb}]=${hex(value)}`);
    const problems = reserved.map((bits) => `reserved bits ${bits}`);
    if (name === null) problems.unshift(`no ${kind} has this encoding`);
    return {
      kind,
      name: problems.length === 0 ? name! : 'UNKNOWN',
      fields: layout.decode(words),
      raw: bytesToHex(bytes),
      reserved,
      problems,
    };
  },
};
