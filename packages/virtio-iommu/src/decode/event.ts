import { bytesToHex, bytesToWords } from '@iommukit/bits';
import type { DecodedEntry } from '@iommukit/core';
import { FAULT, FAULT_BYTES, FAULT_WORD, faultName } from '../format/events.ts';
import { reservedOf, unknown } from './entry.ts';

const LAST_REASON = 2;

/** A fault report of the event queue. */
export function decodeEvent(bytes: Uint8Array): DecodedEntry {
  if (bytes.length !== FAULT_BYTES)
    return unknown('event', bytes, {}, `a report has ${FAULT_BYTES} bytes, not ${bytes.length}`);
  const words = bytesToWords(bytes);
  const { reason, READ, WRITE, ADDRESS, endpoint, address } = FAULT.decode(words);
  const flags = words[FAULT_WORD.FLAGS]!;
  const fields = { reason, flags, READ, WRITE, ADDRESS, endpoint, address };
  if (reason > LAST_REASON) return unknown('event', bytes, fields, `reason ${reason} is not defined`);
  const problems = words[FAULT_WORD.REASON]! >>> 8 === 0 ? [] : ['reserved bytes are set: a driver ignores the report'];
  const name = `VIRTIO_IOMMU_FAULT_R_${faultName(reason)}`;
  return { kind: 'event', name, fields, raw: bytesToHex(bytes), reserved: reservedOf(FAULT, words), problems };
}
