import { ensure } from '@iommukit/core';

/** Domain ids of one device, from its `domain_range`; a freed id is used again first. */
export class DomainIds {
  readonly #last: number;
  #next: number;
  readonly #freed: number[] = [];

  /** `last` is inclusive. */
  constructor(start: number, last: number) {
    this.#next = start;
    this.#last = last;
  }

  /** ENOSPC when the range is used up. */
  take(): number {
    const freed = this.#freed.pop();
    if (freed !== undefined) return freed;
    ensure(this.#next <= this.#last, 'ENOSPC', 'no domain id is left');
    return this.#next++;
  }

  release(id: number): void {
    this.#freed.push(id);
  }
}
