import { ERRNO, type Errno, isIommuError } from '@iommukit/core';

export const errnoOf = (errno: Errno): number => -ERRNO[errno];

/** Turns an IommuError into `-errno`. Anything else is a bug of ours and passes. */
export function guard<T>(run: () => T): T | number {
  try {
    return run();
  } catch (error) {
    if (!isIommuError(error)) throw error;
    return -error.number;
  }
}
