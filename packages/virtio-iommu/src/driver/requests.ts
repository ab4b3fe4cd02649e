import { ATTACH, DETACH, MAP, PROBE, REQUEST, UNMAP } from '../format/requests.ts';
import type { Mapping } from './mirror.ts';

/** Requests as words, device-written part excluded. */
export const attachRequest = (domain: number, endpoint: number, bypass: boolean): Uint32Array =>
  ATTACH.encode({ type: REQUEST.ATTACH, domain, endpoint, BYPASS: bypass });

export const detachRequest = (domain: number, endpoint: number): Uint32Array =>
  DETACH.encode({ type: REQUEST.DETACH, domain, endpoint });

export function mapRequest(domain: number, { start, last, pa, flags }: Mapping): Uint32Array {
  const words = MAP.encode({ type: REQUEST.MAP, domain, virt_start: start, virt_end: last, phys_start: pa });
  words[words.length - 1] = flags;
  return words;
}

export const unmapRequest = (domain: number, start: bigint, last: bigint): Uint32Array =>
  UNMAP.encode({ type: REQUEST.UNMAP, domain, virt_start: start, virt_end: last });

export const probeRequest = (endpoint: number): Uint32Array => PROBE.encode({ type: REQUEST.PROBE, endpoint });
