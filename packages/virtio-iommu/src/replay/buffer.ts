import type { RecordedRequest } from '@iommukit/core';
import { PROBE, REQUEST, TAIL_BYTES } from '../format/requests.ts';

/**
 * Where the device-written part of a recorded buffer begins. Linux's driver notes the offset only for requests whose
 * answer it reads back, so its captures show 0 for MAP and UNMAP. No request begins with its device-written part;
 * there the part is what the driver makes it: a PROBE's 72 readable bytes are fixed, any other request ends in its tail.
 */
export function borderOf({ raw, writeOffset }: RecordedRequest): number {
  if (writeOffset > 0) return Math.min(writeOffset, raw.length);
  if (raw[0] === REQUEST.PROBE) return Math.min(PROBE.bytes, raw.length);
  return Math.max(0, raw.length - TAIL_BYTES);
}
