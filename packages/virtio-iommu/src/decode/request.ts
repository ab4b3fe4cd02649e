import { bytesToHex, bytesToWords, type Layout } from '@iommukit/bits';
import type { DecodedEntry } from '@iommukit/core';
import { PROPERTY, PROPERTY_HEADER, PROPERTY_HEADER_BYTES, RESV_MEM, RESV_MEM_LENGTH } from '../format/properties.ts';
import {
  ATTACH_WORD,
  HEAD_BYTES,
  MAP_WORD,
  REQUEST,
  REQUEST_LAYOUTS,
  statusName,
  TAIL_BYTES,
  UNMAP_WORD,
} from '../format/requests.ts';
import { type DecodedFields, reservedOf, unknown } from './entry.ts';

const BY_TYPE = new Map<number, Layout>(
  Object.entries(REQUEST).map(([name, type]) => [type, REQUEST_LAYOUTS[name as keyof typeof REQUEST_LAYOUTS]]),
);

/** Words that hold flags, and words that must be zero, by request type. */
const FLAGS_WORD: Readonly<Record<number, number>> = {
  [REQUEST.ATTACH]: ATTACH_WORD.FLAGS,
  [REQUEST.MAP]: MAP_WORD.FLAGS,
};
const ZERO_WORD: Readonly<Record<number, number>> = {
  [REQUEST.ATTACH]: ATTACH_WORD.RESERVED,
  [REQUEST.UNMAP]: UNMAP_WORD.RESERVED,
};

/** A request, with its device-written part when the bytes include it. */
export function decodeRequest(bytes: Uint8Array): DecodedEntry {
  if (bytes.length < HEAD_BYTES) return unknown('request', bytes, {}, 'shorter than the head');
  const type = bytes[0]!;
  const layout = BY_TYPE.get(type);
  if (layout === undefined) return unknown('request', bytes, { type }, `request type ${type} is not defined`);
  if (bytes.length < layout.bytes)
    return unknown(
      'request',
      bytes,
      { type },
      `${layout.name} has ${layout.bytes} readable bytes, not ${bytes.length}`,
    );
  const words = bytesToWords(bytes.subarray(0, layout.bytes));
  const fields: DecodedFields = { ...layout.decode(words) };
  const flagsWord = FLAGS_WORD[type];
  if (flagsWord !== undefined) fields.flags = words[flagsWord]!;
  const reserved = reservedOf(layout, words);
  const problems = [...refusedBits(type, words, layout), ...readAnswer(type, bytes.subarray(layout.bytes), fields)];
  return { kind: 'request', name: layout.name, fields, raw: bytesToHex(bytes), reserved, problems };
}

/** Set bits a device must refuse, unlike those it ignores. */
function refusedBits(type: number, words: Uint32Array, layout: Layout): string[] {
  const zeroWord = ZERO_WORD[type];
  const problems = zeroWord !== undefined && words[zeroWord] !== 0 ? ['the reserved word is not zero'] : [];
  const inFlags = layout.reserved(words).some(({ lsb }) => Math.floor(lsb / 32) === FLAGS_WORD[type]);
  return inFlags ? [...problems, 'an undefined flag is set'] : problems;
}

function readAnswer(type: number, answer: Uint8Array, fields: DecodedFields): string[] {
  if (answer.length === 0) return [];
  if (answer.length < TAIL_BYTES) return [`${answer.length} bytes are too few for a tail`];
  const at = type === REQUEST.PROBE ? answer.length - TAIL_BYTES : 0;
  const status = answer[at]!;
  fields.status = status;
  const problems = statusName(status) === undefined ? [`status ${status} is not defined`] : [];
  if (type === REQUEST.PROBE) return [...problems, ...readProperties(answer.subarray(0, at), fields)];
  return answer.length > TAIL_BYTES ? [...problems, `${answer.length - TAIL_BYTES} bytes follow the tail`] : problems;
}

/** Properties become fields `property[n].…`. */
function readProperties(area: Uint8Array, fields: DecodedFields): string[] {
  for (let at = 0, n = 0; at + PROPERTY_HEADER_BYTES <= area.length; n++) {
    const words = bytesToWords(area.subarray(at));
    const { type, length } = PROPERTY_HEADER.decode(words);
    if (type === PROPERTY.NONE) return [];
    fields[`property[${n}].type`] = type;
    fields[`property[${n}].length`] = length;
    if (at + PROPERTY_HEADER_BYTES + length > area.length) return [`property ${n} leaves the property area`];
    if (type === PROPERTY.RESV_MEM && length >= RESV_MEM_LENGTH) {
      const { subtype, start, end } = RESV_MEM.decode(words);
      fields[`property[${n}].subtype`] = subtype;
      fields[`property[${n}].start`] = start;
      fields[`property[${n}].end`] = end;
    }
    at += PROPERTY_HEADER_BYTES + length;
  }
  return [];
}
