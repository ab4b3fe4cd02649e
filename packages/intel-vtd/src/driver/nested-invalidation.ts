import { ensure, INVALIDATE_DATA_TYPE, type InvalidationResult, type NativeInvalidation } from '@iommukit/core';

/** Bytes of one entry: `{u64 addr; u64 npages; u32 flags; u32 reserved}`. */
export const INVALIDATION_BYTES = 24;
export const INVALIDATION_FLAG = { LEAF: 1 } as const;
export const ALL_PAGES = (1n << 64n) - 1n;
const TOP = 1n << 64n;

/** Forgets `[start, last]` of the guest's first stage. */
export type FlushRange = (start: bigint, last: bigint, leafOnly: boolean) => void;

/** Carries out entries in order; stops at the first bad one and tells how many were done. Never throws. */
export function invalidateEntries(request: NativeInvalidation, flush: FlushRange): InvalidationResult {
  let done = 0;
  try {
    ensure(request.type === INVALIDATE_DATA_TYPE.VTD_S1, 'EINVAL', `invalidation type ${request.type} is not VT-d's`);
    for (; done < request.entryCount; done++) carryOut(request, done, flush);
    return { done, error: null };
  } catch (error) {
    return { done, error: error as Error };
  }
}

function carryOut({ bytes, entryLength }: NativeInvalidation, index: number, flush: FlushRange): void {
  ensure(entryLength === INVALIDATION_BYTES, 'EINVAL', `entries of ${entryLength} bytes are not 24`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + index * entryLength, entryLength);
  const address = view.getBigUint64(0, true);
  const pages = view.getBigUint64(8, true);
  const flags = view.getUint32(16, true);
  ensure((flags & ~INVALIDATION_FLAG.LEAF) === 0, 'EOPNOTSUPP', `unknown invalidation flags 0x${flags.toString(16)}`);
  ensure(view.getUint32(20, true) === 0, 'EOPNOTSUPP', 'the reserved word of an invalidation is not zero');
  ensure((address & 0xfffn) === 0n, 'EINVAL', 'an invalidation starts at a page');
  flush(address, lastOf(address, pages), (flags & INVALIDATION_FLAG.LEAF) !== 0);
}

function lastOf(address: bigint, pages: bigint): bigint {
  if (pages === ALL_PAGES) {
    ensure(address === 0n, 'EINVAL', 'everything starts at address 0');
    return TOP - 1n;
  }
  ensure(pages !== 0n, 'EINVAL', 'an invalidation covers at least one page');
  ensure(address + pages * 4096n <= TOP, 'EINVAL', 'an invalidation ends inside the address space');
  return address + pages * 4096n - 1n;
}
