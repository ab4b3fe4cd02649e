import { ensure } from '@iommukit/core';
import type { AccountMode, PinAccount } from './source.ts';

/** Pages charged to one owner, up to a limit. */
export class LimitedAccount implements PinAccount {
  readonly mode: AccountMode;
  /** In pages; null = none. */
  limit: bigint | null;
  #pages = 0n;

  constructor(mode: AccountMode, limit: bigint | null = null) {
    this.mode = mode;
    this.limit = limit;
  }

  get pages(): bigint {
    return this.#pages;
  }

  charge(pages: bigint): void {
    ensure(this.limit === null || this.#pages + pages <= this.limit, 'ENOMEM', 'the limit of locked memory');
    this.#pages += pages;
  }

  uncharge(pages: bigint): void {
    this.#pages -= pages;
  }
}
