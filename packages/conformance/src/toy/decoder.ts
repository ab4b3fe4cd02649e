import { bytesToHex, bytesToWords, type Layout } from '@iommukit/bits';
import type { DecodedEntry, NativeDecoder } from '@iommukit/core';
import { CONTEXT_COMMAND, OP, OP_NAMES, TRANSLATION_COMMAND } from './format/commands.ts';
import { CONTEXT } from './format/context.ts';
import { CODE_NAMES, EVENT } from './format/events.ts';

const CONTEXT_OPS: readonly number[] = [OP.INV_DEVICE, OP.INV_SLOT];

interface Kind {
  readonly layout: (op: number) => Layout;
  readonly name: (op: number) => string | undefined;
  readonly bytes: number;
}

const KINDS: Readonly<Record<string, Kind>> = {
  command: {
    layout: (op) => (CONTEXT_OPS.includes(op) ? CONTEXT_COMMAND : TRANSLATION_COMMAND),
    name: (op) => OP_NAMES[op],
    bytes: 16,
  },
  event: { layout: () => EVENT, name: (code) => CODE_NAMES[code], bytes: EVENT.bytes },
  context: { layout: () => CONTEXT, name: () => 'CONTEXT', bytes: CONTEXT.bytes },
};

/** Takes the toy's commands, events and contexts apart. */
export const toyDecoder: NativeDecoder = {
  kinds: Object.keys(KINDS),
  sizes: (kind) => (KINDS[kind] ? [KINDS[kind].bytes] : []),
  decode(kind, bytes): DecodedEntry {
    const known = KINDS[kind];
    if (known === undefined) throw new RangeError(`no kind '${kind}'`);
    const words = bytesToWords(bytes);
    const layout = known.layout(words[0]! & 0xff);
    const name = known.name(words[0]! & 0xff);
    const reserved = layout.reserved(words).map(({ msb, lsb, value }) => `[${msb}:${lsb}]=0x${value.toString(16)}`);
    const problems = name === undefined ? [`no ${kind} has the code ${words[0]! & 0xff}`] : [];
    return {
      kind,
      name: name ?? 'UNKNOWN',
      fields: layout.decode(words),
      raw: bytesToHex(bytes),
      reserved,
      problems: reserved.length > 0 ? [...problems, 'reserved bits are set'] : problems,
    };
  },
};
