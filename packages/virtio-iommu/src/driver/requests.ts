import { hiOf, loOf } from '@iommukit/bits';
import { ATTACH, DETACH, MAP, MAP_WORD, PROBE, REQUEST, UNMAP } from '../format/requests.ts';
import type { Mapping } from './mirror.ts';

/** Requests as words, device-written part excluded. */
export const attachRequest = (domain: number, endpoint: number, bypass: boolean): Uint32Array =>
  ATTACH.encode({ type: REQUEST.ATTACH, domain, endpoint, BYPASS: bypass });

export const detachRequest = (domain: number, endpoint: number): Uint32Array =>
  DETACH.encode({ type: REQUEST.DETACH, domain, endpoint });

export function mapRequest(domain: number, { start, last, pa, flags }: Mapping): Uint32Array {
  const words = rangeRequest(MAP.bytes, REQUEST.MAP, domain, start, last);
  put64(words, MAP_WORD.PHYS_START, pa);
  words[MAP_WORD.FLAGS] = flags;
  return words;
}

export const unmapRequest = (domain: number, start: bigint, last: bigint): Uint32Array =>
  rangeRequest(UNMAP.bytes, REQUEST.UNMAP, domain, start, last);

/** MAP and UNMAP begin alike; they are too frequent to be encoded field by field. */
function rangeRequest(bytes: number, type: number, domain: number, start: bigint, last: bigint): Uint32Array {
  const words = new Uint32Array(bytes / 4);
  words[0] = type;
  words[MAP_WORD.DOMAIN] = domain;
  put64(words, MAP_WORD.VIRT_START, start);
  put64(words, MAP_WORD.VIRT_END, last);
  return words;
}

function put64(words: Uint32Array, at: number, value: bigint): void {
  words[at] = loOf(value);
  words[at + 1] = hiOf(value);
}

export const probeRequest = (endpoint: number): Uint32Array => PROBE.encode({ type: REQUEST.PROBE, endpoint });
