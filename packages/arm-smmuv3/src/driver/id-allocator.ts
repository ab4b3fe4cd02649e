import { IommuError } from '@iommukit/core';

/** ASIDs or VMIDs: 1 … 2^bits - 1, the lowest free one first. 0 stays out, it tags streams without a domain. */
export class IdAllocator {
  readonly #what: string;
  readonly #used: Uint8Array;

  constructor(what: string, bits: number) {
    this.#what = what;
    this.#used = new Uint8Array(2 ** bits);
    this.#used[0] = 1;
  }

  /** Throws IommuError ENOSPC. */
  alloc(): number {
    const id = this.#used.indexOf(0);
    if (id < 0) throw new IommuError('ENOSPC', `no ${this.#what} is left`);
    this.#used[id] = 1;
    return id;
  }

  free(id: number): void {
    this.#used[id] = 0;
  }
}
