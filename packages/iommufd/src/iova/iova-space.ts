import {
  complementOf,
  ensure,
  IommuError,
  type IovaRange,
  intersectRanges,
  overlaps,
  TOP_ADDRESS,
} from '@iommukit/core';
import { IntervalTree } from './interval-tree.ts';

/** Page size of the host. */
export const PAGE_SIZE = 4096n;
/** Automatic placement never aligns beyond this. */
const HUGE_PAGE = 1n << 21n;

export interface Placement {
  readonly length: bigint;
  /** Address of the memory to be mapped: user address, or byte offset for files. */
  readonly source: bigint;
}

/**
 * The IOVA side of an IOAS: what is reserved (by whom), what the user allows, what is mapped, and the alignment all
 * mappings keep. Entries of different owners may overlap; removing an owner removes only its own.
 */
export class IovaSpace<A extends IovaRange> {
  readonly areas = new IntervalTree<A>();
  readonly #reserved = new Map<object, IovaRange[]>();
  #allowed: readonly IovaRange[] = [];
  /** Holes of the reserved set, and the same cut by the allow list; rebuilt when either changes. */
  #open: readonly IovaRange[] = [{ start: 0n, last: TOP_ADDRESS }];
  #placeable: readonly IovaRange[] = [];
  alignment = 1n;

  constructor() {
    this.#rebuild();
  }

  /** Ascending holes of the reserved set over the whole space; neither mappings nor the allow list narrow it. */
  get usableRanges(): readonly IovaRange[] {
    return this.#open;
  }

  get allowed(): readonly IovaRange[] {
    return this.#allowed;
  }

  /** Closes ranges on behalf of `owner`. EADDRINUSE when one touches a mapping or an allowed range; nothing changes then. */
  reserve(owner: object, ranges: readonly IovaRange[]): void {
    for (const range of ranges) {
      ensure(this.areas.overlapping(range) === null, 'EADDRINUSE', 'a reserved range is mapped');
      ensure(!this.#allowed.some((a) => overlaps(a, range)), 'EADDRINUSE', 'a reserved range is on the allow list');
    }
    if (ranges.length === 0) return;
    this.#reserved.set(owner, [...(this.#reserved.get(owner) ?? []), ...ranges]);
    this.#rebuild();
  }

  unreserve(owner: object): void {
    if (this.#reserved.delete(owner)) this.#rebuild();
  }

  /** Replaces the allow list. EADDRINUSE when it touches the reserved set; the old list stays then. */
  allow(ranges: readonly IovaRange[]): void {
    for (const range of ranges) ensure(!this.isReserved(range), 'EADDRINUSE', 'an allowed range is reserved');
    this.#allowed = ranges;
    this.#rebuild();
  }

  isReserved(range: IovaRange): boolean {
    return !this.#open.some((hole) => hole.start <= range.start && range.last <= hole.last);
  }

  /** Checks a fixed placement: EINVAL misaligned or reserved, EOVERFLOW past the end, EEXIST over a mapping. */
  checkFixed(iova: bigint, length: bigint): void {
    ensure(iova % this.alignment === 0n, 'EINVAL', `iova is no multiple of ${this.alignment}`);
    const range = { start: iova, last: iova + length - 1n };
    ensure(range.last <= TOP_ADDRESS, 'EOVERFLOW', 'the range wraps');
    ensure(!this.isReserved(range), 'EINVAL', 'the range is reserved');
    ensure(this.areas.overlapping(range) === null, 'EEXIST', 'the range is mapped');
  }

  /** The lowest free place. EOVERFLOW: absurd length; EINVAL: source less aligned than the IOAS asks; ENOSPC: no hole. */
  place({ length, source }: Placement): bigint {
    ensure(length < TOP_ADDRESS / 2n, 'EOVERFLOW', 'the length is more than half the space');
    const wanted = wantedAlignment(length, source);
    ensure(wanted >= this.alignment, 'EINVAL', `the memory is not aligned to ${this.alignment}`);
    for (const span of this.#placeable) {
      for (const hole of this.areas.holes(span.start, span.last, length)) {
        const candidate = fit(hole, wanted, source % PAGE_SIZE, length);
        if (candidate !== null) return candidate;
      }
    }
    throw new IommuError('ENOSPC', 'no hole is large enough');
  }

  #rebuild(): void {
    const open = complementOf([...this.#reserved.values()].flat());
    const room = { start: PAGE_SIZE, last: TOP_ADDRESS - PAGE_SIZE };
    this.#open = open;
    this.#placeable = intersectRanges([open, [room], ...(this.#allowed.length > 0 ? [this.#allowed] : [])]);
  }
}

/** The smaller of the length's next power of two and the source's own alignment, at most a huge page. */
function wantedAlignment(length: bigint, source: bigint): bigint {
  const power = 1n << BigInt((length - 1n).toString(2).length);
  const size = length === 1n ? 1n : power;
  const own = source === 0n ? size : source & -source;
  const wanted = own < size ? own : size;
  return wanted < HUGE_PAGE ? wanted : HUGE_PAGE;
}

function fit(hole: IovaRange, alignment: bigint, pageOffset: bigint, length: bigint): bigint | null {
  const rounded = (hole.start + alignment - 1n) & -alignment;
  const candidate = rounded | pageOffset;
  if (candidate > TOP_ADDRESS || candidate >= hole.last || candidate + length - 1n > hole.last) return null;
  return candidate;
}
