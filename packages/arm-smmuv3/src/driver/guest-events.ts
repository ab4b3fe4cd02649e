import { EVENT, EVENTS } from '../format/events.ts';

/** Events whose cause is the guest's own configuration or stage 1. */
const OF_GUESTS: ReadonlySet<number> = new Set([
  EVENT.C_BAD_STE,
  EVENT.F_STREAM_DISABLED,
  EVENT.C_BAD_SUBSTREAMID,
  EVENT.C_BAD_CD,
  EVENT.F_TRANSLATION,
  EVENT.F_ADDR_SIZE,
  EVENT.F_ACCESS,
  EVENT.F_PERMISSION,
]);

/**
 * The record as the guest's own SMMU would have written it, or null where it is none of its business: stage-2 faults are
 * the host's, and stalls wait for the host's answer.
 */
export function guestEvent(words: Uint32Array, virtualSid: number): Uint32Array | null {
  const code = words[0]! & 0xff;
  const form = EVENTS[code]?.layout;
  if (!OF_GUESTS.has(code) || form === undefined) return null;
  if (form.fields.S2 !== undefined && form.get(words, 'S2')) return null;
  if (form.fields.Stall !== undefined && form.get(words, 'Stall')) return null;
  const event = words.slice();
  event[1] = virtualSid;
  return event;
}
