import { IommuError } from '@iommukit/core';
import type { InvalidationArray } from '../commands/hwpt.ts';
import type { UserMemory } from '../pages/source.ts';

export interface UserArray {
  readonly address: bigint;
  readonly type: number;
  readonly entryLength: number;
  readonly entryCount: number;
}

/** More than 2^19 entries of any vendor's format. */
const MAX_BYTES = 1 << 26;

/** Invalidation entries in user memory, fetched only after the request was found sensible. */
export function invalidationArray(user: UserMemory, array: UserArray): InvalidationArray {
  const { address, type, entryLength, entryCount } = array;
  return {
    type,
    entryLength,
    entryCount,
    present: address !== 0n,
    fetch(): Uint8Array {
      if (entryLength * entryCount > MAX_BYTES) throw new IommuError('ENOMEM', 'too many bytes at once');
      const bytes = new Uint8Array(entryLength * entryCount);
      return user.read(address, bytes) ? bytes : bytes.subarray(0, readable(user, array, bytes));
    },
  };
}

/** Bytes of the whole entries in front of the fault. */
function readable(user: UserMemory, { address, entryLength }: UserArray, bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length && user.read(address + BigInt(at), bytes.subarray(at, at + entryLength))) at += entryLength;
  return at;
}
