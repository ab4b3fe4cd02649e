import { ensure, IommuError, type NativeData } from '@iommukit/core';
import type { UserMemory } from '../pages/source.ts';

const CHUNK = 1 << 16;

/** EFAULT when any byte cannot be read. */
export function fetch(user: UserMemory, address: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  if (length > 0) ensure(user.read(address, bytes), 'EFAULT', 'the memory cannot be read');
  return bytes;
}

/** EFAULT when any byte cannot be written. */
export function store(user: UserMemory, address: bigint, bytes: Uint8Array): void {
  if (bytes.length > 0) ensure(user.write(address, bytes), 'EFAULT', 'the memory cannot be written');
}

/** Whether `length` bytes are all zero; stops at the first that is not. EFAULT. */
export function isZero(user: UserMemory, address: bigint, length: number): boolean {
  for (let done = 0; done < length; done += CHUNK) {
    const chunk = fetch(user, address + BigInt(done), Math.min(CHUNK, length - done));
    if (chunk.some((byte) => byte !== 0)) return false;
  }
  return true;
}

/** EFAULT. */
export function clear(user: UserMemory, address: bigint, length: number): void {
  const zeros = new Uint8Array(Math.min(CHUNK, length));
  for (let done = 0; done < length; done += CHUNK) {
    store(user, address + BigInt(done), zeros.subarray(0, Math.min(CHUNK, length - done)));
  }
}

/** No structure of a vendor comes near this. */
const MAX_DATA = 1 << 16;

/** Vendor data in user memory. It is read when the vendor first looks, after it has judged the type. */
export class UserData implements NativeData {
  readonly type: number;
  readonly length: number;
  readonly #user: UserMemory;
  readonly #address: bigint;
  #bytes: Uint8Array | null = null;

  constructor(user: UserMemory, type: number, address: bigint, length: number) {
    this.#user = user;
    this.#address = address;
    this.type = type;
    this.length = length;
  }

  /** EFAULT; EINVAL: longer than any structure. */
  get bytes(): Uint8Array {
    if (this.length > MAX_DATA) throw new IommuError('EINVAL', `${this.length} bytes are more than any vendor takes`);
    this.#bytes ??= fetch(this.#user, this.#address, this.length);
    return this.#bytes;
  }
}
