import { PAGE_SIZE } from '../iova/iova-space.ts';
import type { PageSource, PhysicalExtent, UserMemory } from './source.ts';

/** User memory around an address, as a source whose offset 0 is the start of that address' page. */
class UserPages implements PageSource {
  readonly kind = 'user';
  readonly #user: UserMemory;
  readonly #base: bigint;

  constructor(user: UserMemory, base: bigint) {
    this.#user = user;
    this.#base = base;
  }

  pin(offset: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[] {
    return this.#user.pin(this.#base + offset, length, writable);
  }

  unpin(_offset: bigint, _length: bigint, extents: readonly PhysicalExtent[]): void {
    this.#user.unpin(extents);
  }

  read(offset: bigint, bytes: Uint8Array): boolean {
    return this.#user.read(this.#base + offset, bytes);
  }

  write(offset: bigint, bytes: Uint8Array): boolean {
    return this.#user.write(this.#base + offset, bytes);
  }
}

export const userPages = (user: UserMemory, address: bigint): PageSource => new UserPages(user, address & -PAGE_SIZE);
