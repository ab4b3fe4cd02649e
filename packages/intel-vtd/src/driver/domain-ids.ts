import { IommuError } from '@iommukit/core';

/** Tags negative cache entries in caching mode; never given out. */
export const DID_NONE = 0;
/** Shared by all pass-through entries: they have no table, so they cannot disagree. */
export const DID_PASS_THROUGH = 1;
const FIRST = 2;

/** The domain-ids of one unit: 2 … 2^(4+2·ND)-1, lowest free one first. */
export class DomainIds {
  readonly #count: number;
  readonly #taken = new Set<number>();
  #next = FIRST;

  constructor(count: number) {
    this.#count = count;
  }

  /** Throws ENOSPC when all are taken. */
  alloc(): number {
    while (this.#taken.has(this.#next)) this.#next++;
    if (this.#next >= this.#count) throw new IommuError('ENOSPC', `all ${this.#count - FIRST} domain-ids are in use`);
    this.#taken.add(this.#next);
    return this.#next;
  }

  free(did: number): void {
    this.#taken.delete(did);
    if (did < this.#next) this.#next = did;
  }
}

/** A domain's id on its unit: taken by the first attachment, given back by the last. */
export class SharedDid {
  readonly #ids: DomainIds;
  #did = DID_NONE;
  #users = 0;

  constructor(ids: DomainIds) {
    this.#ids = ids;
  }

  acquire(): number {
    if (this.#users === 0) this.#did = this.#ids.alloc();
    this.#users++;
    return this.#did;
  }

  release(): void {
    if (--this.#users > 0) return;
    this.#ids.free(this.#did);
    this.#did = DID_NONE;
  }
}
