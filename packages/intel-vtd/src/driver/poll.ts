import { type Clock, IommuError } from '@iommukit/core';

/** Turns of a polling loop before the unit counts as dead. */
export const POLL_LIMIT = 100_000;

/** Waits until `done` holds. Throws ETIMEDOUT naming `what` after {@link POLL_LIMIT} turns. */
export function pollUntil(time: Clock, what: string, done: () => boolean): void {
  for (let turn = 0; turn < POLL_LIMIT; turn++) {
    if (done()) return;
    time.relax();
  }
  throw new IommuError('ETIMEDOUT', `${what} did not complete`);
}
