import { ensure, type PagingDomain } from '@iommukit/core';
import type { Ioas } from './ioas.ts';

/** Where dirty bits go. The caller zeroed it; bits are only ever set. Offsets count bytes of the bitmap. */
export interface BitmapTarget {
  /** The bytes as they stand. EFAULT when they cannot be read and written. */
  load(offset: number, length: number): Uint8Array;
  /** EFAULT. */
  store(offset: number, bytes: Uint8Array): void;
}

export interface DirtyRequest {
  readonly iova: bigint;
  readonly length: bigint;
  /** Bytes one bit stands for: a power of two. */
  readonly pageSize: bigint;
  readonly target: BitmapTarget;
  /** Leave the dirty state as it is. */
  readonly keep: boolean;
}

/** Bits handled at once; bounds the memory a request can make us take. */
const WINDOW_BITS = 1 << 23;

/**
 * Reads (and clears, unless `keep`) the dirty state of a range. Bit i stands for `[iova + i·pageSize, …)`; a dirty leaf
 * sets every bit it touches. EINVAL where the range is not mapped throughout, EFAULT where the bitmap is not there: unlike
 * Linux 7.2, which reports success then, and nothing is cleared that was not recorded.
 */
export function readDirty(ioas: Ioas, domain: PagingDomain, request: DirtyRequest): void {
  const { iova, length, pageSize } = request;
  checkCovered(ioas, iova, iova + length - 1n);
  const bits = Number(length / pageSize);
  let ahead = iova;
  for (let bit = 0; bit < bits; bit += WINDOW_BITS) {
    ioas.context.injector.use('vendor');
    ahead = readWindow(domain, request, bit, Math.min(WINDOW_BITS, bits - bit), ahead);
  }
}

/**
 * One window; returns the end of the last dirty leaf, which may reach into the next window and is not reported there.
 * Offsets are numbers: multiples of a page below 2^64 are exact, and half a million leaves want to be cheap.
 */
function readWindow(domain: PagingDomain, request: DirtyRequest, bit: number, bits: number, ahead: bigint): bigint {
  const { iova, pageSize, target, keep } = request;
  const start = iova + BigInt(bit) * pageSize;
  const bytes = target.load(bit / 8, Math.ceil(bits / 8));
  const perByte = 1 / Number(pageSize);
  const base = Number(start);
  let end = Number(ahead - start);
  if (end > 0) setBits(bytes, 0, Math.min(Math.ceil(end * perByte), bits) - 1);
  let any = end > 0;
  domain.eachDirty(start, BigInt(bits) * pageSize, keep, (at, leaf) => {
    const from = Number(at) - base;
    const to = from + Number(leaf);
    any = true;
    if (to > end) end = to;
    const first = from > 0 ? Math.floor(from * perByte) : 0;
    setBits(bytes, first, Math.min(Math.ceil(to * perByte), bits) - 1);
  });
  if (any) target.store(bit / 8, bytes);
  return start + BigInt(end);
}

function setBits(bytes: Uint8Array, first: number, last: number): void {
  for (let bit = first; bit <= last; ) {
    if ((bit & 7) === 0 && bit + 7 <= last) {
      const stop = (last + 1) >>> 3;
      bytes.fill(0xff, bit >>> 3, stop);
      bit = stop * 8;
    } else {
      bytes[bit >>> 3]! |= 1 << (bit & 7);
      bit++;
    }
  }
}

function checkCovered(ioas: Ioas, iova: bigint, last: bigint): void {
  let next = iova;
  for (const area of ioas.space.areas.within(iova, last)) {
    ensure(area.start <= next, 'EINVAL', 'the range has a hole');
    next = area.last + 1n;
  }
  ensure(next > last, 'EINVAL', 'the range has a hole');
}
