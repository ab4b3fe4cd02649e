import { type Errno, IommuError } from '@iommukit/core';

/** What can be made to fail: an allocation of ours, a pin of user memory, a call into the vendor. */
export type FailurePoint = 'alloc' | 'pin' | 'vendor';

const ERRNO_OF: Readonly<Record<FailurePoint, Errno>> = { alloc: 'ENOMEM', pin: 'EFAULT', vendor: 'ENOMEM' };

/** Makes the nth use of any failure point fail, once. Off by default; a use then costs one comparison. */
export class FaultInjector {
  #left = 0;
  #uses = 0;

  /** The `n`th use from now on (1 = the next) fails; 0 turns injection off. */
  failNth(n: number): void {
    this.#left = n;
  }

  /** How many uses there were so far. */
  get uses(): number {
    return this.#uses;
  }

  /** True while a failure is still to come. */
  get armed(): boolean {
    return this.#left > 0;
  }

  /** Counts one use; throws when it is the one to fail. */
  use(point: FailurePoint): void {
    this.#uses++;
    if (this.#left > 0 && --this.#left === 0) throw new IommuError(ERRNO_OF[point], `injected: ${point}`);
  }
}
