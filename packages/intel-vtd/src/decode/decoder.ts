import { bytesToHex, bytesToWords, hex, type Layout, toBig, type Words } from '@iommukit/bits';
import type { DecodedEntry, NativeDecoder } from '@iommukit/core';
import {
  CONTEXT_ENTRY,
  FAULT_RECORD,
  IRTE,
  IRTE_POSTED,
  PASID_ENTRY,
  PGTT,
  ROOT_ENTRY,
  SCALABLE_CONTEXT_ENTRY,
  SCALABLE_ROOT_ENTRY,
  TT,
} from '../format/index.ts';
import { descriptorOf, descriptorProblems, padding } from './descriptor.ts';
import { faultName } from './names.ts';

const UNKNOWN = 'UNKNOWN';

interface Kind {
  readonly sizes: readonly number[];
  layout(words: Words): Layout;
  /** The mnemonic; by default the layout's. */
  name?(words: Words): string;
  /** False: software may leave anything in the other bits. Default: always checked. */
  checked?(words: Words): boolean;
  problems?(words: Words): string[];
}

const present = (words: Words): boolean => (words[0]! & 1) !== 0;
const isPosted = (words: Words): boolean => IRTE_POSTED.get(words, 'IM');

function contextProblems(words: Words): string[] {
  const { TT: type, AW } = CONTEXT_ENTRY.decode(words);
  const problems: string[] = [];
  if (type === TT.RESERVED) problems.push('TT=3 is reserved');
  if (AW < 1 || AW > 3) problems.push(`AW=${AW} is not defined`);
  return problems;
}

function scalableContextProblems(words: Words): string[] {
  const entry = SCALABLE_CONTEXT_ENTRY.decode(words);
  const problems: string[] = [];
  if (entry.PRE && !entry.DTE) problems.push('PRE=1 needs DTE=1');
  if (entry.EPTR && !entry.PASIDE) problems.push('EPTR=1 needs PASIDE=1');
  if (entry.RID_PASID >= 2 ** (entry.PDTS + 13)) problems.push('RID_PASID lies beyond the PASID directory');
  return problems;
}

function pasidProblems(words: Words): string[] {
  const { PGTT: type, AW, FSPM } = PASID_ENTRY.decode(words);
  const problems: string[] = [];
  if (type < PGTT.FIRST_STAGE || type > PGTT.PASS_THROUGH) problems.push(`PGTT=${type} is not defined`);
  const second = type === PGTT.SECOND_STAGE || type === PGTT.NESTED;
  const first = type === PGTT.FIRST_STAGE || type === PGTT.NESTED;
  if (second && (AW < 1 || AW > 3)) problems.push(`AW=${AW} is not defined`);
  if (first && FSPM > 1) problems.push(`FSPM=${FSPM} is not defined`);
  return problems;
}

function faultProblems(words: Words): string[] {
  const code = FAULT_RECORD.get(words, 'FR');
  return faultName(code) === UNKNOWN ? [`fault reason ${hex(code)} is not defined`] : [];
}

const irteProblems = (words: Words): string[] => (IRTE.get(words, 'SVT') === 3 ? ['SVT=3 is reserved'] : []);

const KINDS: Readonly<Record<string, Kind>> = {
  fault: {
    sizes: [16],
    layout: () => FAULT_RECORD,
    name: (words) => faultName(FAULT_RECORD.get(words, 'FR')),
    problems: faultProblems,
  },
  'root-entry': {
    sizes: [16],
    layout: (words) => ((words[2]! | words[3]!) === 0 ? ROOT_ENTRY : SCALABLE_ROOT_ENTRY),
    checked: (words) => ((words[0]! | words[2]!) & 1) !== 0,
  },
  'context-entry': { sizes: [16], layout: () => CONTEXT_ENTRY, checked: present, problems: contextProblems },
  'scalable-context-entry': {
    sizes: [32],
    layout: () => SCALABLE_CONTEXT_ENTRY,
    checked: present,
    problems: scalableContextProblems,
  },
  'pasid-entry': { sizes: [64], layout: () => PASID_ENTRY, checked: present, problems: pasidProblems },
  irte: {
    sizes: [16],
    layout: (words) => (isPosted(words) ? IRTE_POSTED : IRTE),
    checked: present,
    problems: irteProblems,
  },
};

function entry(
  kind: string,
  bytes: Uint8Array,
  name: string,
  layout: Layout | null,
  words: Words,
  extra: readonly string[],
  reserved: readonly string[],
): DecodedEntry {
  const problems = [...extra, ...(reserved.length === 0 ? [] : [`${name}: reserved bits set`])];
  return {
    kind,
    name: problems.length === 0 ? name : UNKNOWN,
    fields: layout === null ? {} : layout.decode(words),
    raw: bytesToHex(bytes),
    reserved,
    problems,
  };
}

const strays = (layout: Layout, words: Words): string[] =>
  layout.reserved(words).map(({ msb, lsb, value }) => `[${msb}:${lsb}]=${hex(value)}`);

function decodeDescriptor(bytes: Uint8Array): DecodedEntry {
  const words = bytesToWords(bytes);
  const type = descriptorOf(words);
  if (typeof type === 'string') return entry('descriptor', bytes, UNKNOWN, null, words, [type], []);
  const reserved = strays(type.layout, words);
  if (padding(type, words))
    for (const at of [4, 6]) {
      const quad = toBig(words[at + 1]!, words[at]!);
      if (quad !== 0n) reserved.push(`[${at * 32 + 63}:${at * 32}]=${hex(quad)}`);
    }
  return entry('descriptor', bytes, type.name, type.layout, words, descriptorProblems(type, words), reserved);
}

function decodeStructure(kind: string, bytes: Uint8Array): DecodedEntry {
  const { layout: layoutOf, name, checked, problems } = KINDS[kind]!;
  const words = bytesToWords(bytes);
  const layout = layoutOf(words);
  const legalAnyway = checked !== undefined && !checked(words);
  const reserved = strays(layout, words);
  const found = legalAnyway ? [] : (problems?.(words) ?? []);
  const decoded = entry(kind, bytes, name?.(words) ?? layout.name, layout, words, found, legalAnyway ? [] : reserved);
  return legalAnyway ? { ...decoded, reserved } : decoded;
}

/**
 * Native structures taken apart, without knowledge of any unit: a field that some capability would make reserved is a
 * field here. Whatever hardware would reject on every unit is `UNKNOWN`, with its fields still shown.
 */
export const vtdDecoder: NativeDecoder = {
  kinds: ['descriptor', ...Object.keys(KINDS)],
  sizes: (kind) => (kind === 'descriptor' ? [16, 32] : (KINDS[kind]?.sizes ?? [])),
  decode: (kind, bytes) => (kind === 'descriptor' ? decodeDescriptor(bytes) : decodeStructure(kind, bytes)),
};
