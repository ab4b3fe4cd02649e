import type { BitmapTarget } from '../ioas/dirty.ts';
import type { UserMemory } from '../pages/source.ts';
import { fetch, store } from './user-bytes.ts';

/** A bitmap in user memory. */
export class UserBitmap implements BitmapTarget {
  readonly #user: UserMemory;
  readonly #address: bigint;

  constructor(user: UserMemory, address: bigint) {
    this.#user = user;
    this.#address = address;
  }

  /** Writes back what it read: a read-only bitmap must show before anything is cleared. */
  load(offset: number, length: number): Uint8Array {
    const bytes = fetch(this.#user, this.#address + BigInt(offset), length);
    this.store(offset, bytes);
    return bytes;
  }

  store(offset: number, bytes: Uint8Array): void {
    store(this.#user, this.#address + BigInt(offset), bytes);
  }
}
