import { IommuError } from '@iommukit/core';

const LIMIT = 2 ** 16;

/** Tags from 1 to 65535, lowest first. Whoever gives one back has invalidated it: the next holder gets it soon. */
export class Tags {
  readonly #taken = new Set<number>();

  /** Throws ENOSPC. */
  take(): number {
    for (let tag = 1; tag < LIMIT; tag++) {
      if (this.#taken.has(tag)) continue;
      this.#taken.add(tag);
      return tag;
    }
    throw new IommuError('ENOSPC', 'no tag is left');
  }

  give(tag: number): void {
    this.#taken.delete(tag);
  }
}
