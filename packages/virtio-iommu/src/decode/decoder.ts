import { bytesToHex } from '@iommukit/bits';
import type { DecodedEntry, NativeDecoder } from '@iommukit/core';
import { FAULT_BYTES } from '../format/events.ts';
import { RESV_MEM_BYTES } from '../format/properties.ts';
import { PROBE, REQUEST_LAYOUTS, TAIL_BYTES } from '../format/requests.ts';
import { decodeEvent } from './event.ts';
import { decodeRequest } from './request.ts';

/** Property areas of the common devices: none, one RESV_MEM, 512 bytes. Any other length is taken too. */
const PROBE_SIZES = [0, RESV_MEM_BYTES, 512].map((area) => PROBE.bytes + area + TAIL_BYTES);
const REQUEST_SIZES = Object.values(REQUEST_LAYOUTS).flatMap(({ bytes }) => [bytes, bytes + TAIL_BYTES]);

const SIZES: Readonly<Record<string, readonly number[]>> = {
  request: [...new Set([...REQUEST_SIZES, ...PROBE_SIZES])].sort((a, b) => a - b),
  event: [FAULT_BYTES],
};

/** Requests and fault reports, taken apart. Any length decodes. */
export const decoder: NativeDecoder = {
  kinds: ['request', 'event'],
  sizes: (kind) => SIZES[kind] ?? [],
  anyLength: ['request'],
  decode(kind: string, bytes: Uint8Array): DecodedEntry {
    if (kind === 'request') return decodeRequest(bytes);
    if (kind === 'event') return decodeEvent(bytes);
    const problems = [`there is no kind '${kind}'`];
    return { kind, name: 'UNKNOWN', fields: {}, raw: bytesToHex(bytes), reserved: [], problems };
  },
};
