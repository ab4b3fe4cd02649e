import { bytesToHex, bytesToWords, hex, type Layout } from '@iommukit/bits';
import type { DecodedEntry, NativeDecoder } from '@iommukit/core';
import { CD, CD_BYTES } from '../format/cd.ts';
import { COMMAND_BYTES, COMMANDS } from '../format/commands.ts';
import { EVENT_BYTES, EVENTS } from '../format/events.ts';
import { STE, STE_BYTES } from '../format/ste.ts';
import { cdProblems } from '../hardware/cd-legality.ts';
import { ANY_FEATURES } from '../hardware/features.ts';
import { steProblems } from '../hardware/ste-legality.ts';
import { commandProblems } from './command-problems.ts';

type Kind = 'command' | 'event' | 'ste' | 'cd';

const BYTES: Readonly<Record<Kind, number>> = {
  command: COMMAND_BYTES,
  event: EVENT_BYTES,
  ste: STE_BYTES,
  cd: CD_BYTES,
};

/** What a kind's first words select: a layout, and why the entry would not be legal. */
interface Reading {
  readonly layout: Layout | null;
  readonly problems: readonly string[];
}

const READ: Readonly<Record<Kind, (words: Uint32Array) => Reading>> = {
  command: readCommand,
  event: readEvent,
  // V=0 alone is no encoding error: it is how an entry is switched off.
  ste: (words) => ({ layout: STE, problems: steProblems(words, ANY_FEATURES).filter((p) => p !== 'V=0') }),
  cd: (words) => ({
    layout: CD,
    problems: cdProblems(words, ANY_FEATURES, { el2: false, stallDisabled: false }).filter((p) => p !== 'V=0'),
  }),
};

function readCommand(words: Uint32Array): Reading {
  const opcode = words[0]! & 0xff;
  const format = COMMANDS[opcode];
  if (format === undefined) return { layout: null, problems: [`opcode ${hex(opcode)} is no command`] };
  return { layout: format.layout, problems: commandProblems(opcode, words) };
}

function readEvent(words: Uint32Array): Reading {
  const type = words[0]! & 0xff;
  const format = EVENTS[type];
  if (format !== undefined) return { layout: format.layout, problems: [] };
  const what = type >= 0xe0 && type <= 0xef ? 'is implementation defined' : 'is no event';
  return { layout: null, problems: [`type ${hex(type)} ${what}`] };
}

/** Takes commands, event records, STEs and CDs apart. A legal encoding on some SMMU counts as legal. */
export const decoder: NativeDecoder = {
  kinds: Object.keys(BYTES),
  sizes: (kind) => (kind in BYTES ? [BYTES[kind as Kind]] : []),
  decode(kind, bytes): DecodedEntry {
    if (!(kind in BYTES)) throw new RangeError(`no kind '${kind}'; there are ${Object.keys(BYTES).join(', ')}`);
    const size = BYTES[kind as Kind];
    if (bytes.length !== size) throw new RangeError(`a ${kind} has ${size} bytes, not ${bytes.length}`);
    const words = bytesToWords(bytes);
    const { layout, problems } = READ[kind as Kind](words);
    return {
      kind,
      name: layout === null || problems.length > 0 ? 'UNKNOWN' : layout.name,
      fields: layout?.decode(words) ?? {},
      labels: layout?.labels(words) ?? {},
      raw: bytesToHex(bytes),
      reserved: layout === null ? [] : layout.reserved(words).map((r) => `[${r.msb}:${r.lsb}]=${hex(r.value)}`),
      problems,
    };
  },
};
