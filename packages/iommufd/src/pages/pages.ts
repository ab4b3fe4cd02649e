import type { FaultInjector } from '../fault-injector.ts';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import type { PageSource, PhysicalExtent, PinAccount } from './source.ts';

/** A run of pages pinned together. */
interface Segment {
  /** Page-aligned byte offsets in the source, half-open. */
  readonly start: bigint;
  readonly end: bigint;
  readonly extents: readonly PhysicalExtent[];
  users: number;
}

const pageDown = (offset: bigint): bigint => offset & -PAGE_SIZE;
const pageUp = (offset: bigint): bigint => (offset + PAGE_SIZE - 1n) & -PAGE_SIZE;

/**
 * The memory behind one map call. Copies share it, so a page is pinned and charged once however many address spaces,
 * domains and accesses use it.
 */
export class IoptPages {
  readonly source: PageSource;
  /** User address or file offset of the source's first page: automatic placement looks at its alignment. */
  readonly base: bigint;
  readonly writable: boolean;
  #account: PinAccount;
  readonly #injector: FaultInjector;
  /** Disjoint, ascending. */
  #segments: Segment[] = [];

  constructor(source: PageSource, base: bigint, writable: boolean, account: PinAccount, injector: FaultInjector) {
    this.source = source;
    this.base = base;
    this.writable = writable;
    this.#account = account;
    this.#injector = injector;
  }

  get account(): PinAccount {
    return this.#account;
  }

  /** Somebody else pays from now on, for what is pinned already, too. ENOMEM; returns who paid before. */
  moveTo(account: PinAccount): PinAccount {
    const old = this.#account;
    account.charge(this.pinnedPages);
    old.uncharge(this.pinnedPages);
    this.#account = account;
    return old;
  }

  get pinnedPages(): bigint {
    return this.#segments.reduce((sum, { start, end }) => sum + (end - start) / PAGE_SIZE, 0n);
  }

  /** Pins the pages under `length` bytes at `offset`. On failure nothing more is pinned than before. */
  pin(offset: bigint, length: bigint): void {
    const start = pageDown(offset);
    const end = pageUp(offset + length);
    const pinned: Segment[] = [];
    try {
      for (const hole of this.#holes(start, end)) pinned.push(this.#pinHole(hole.start, hole.end));
    } catch (error) {
      for (const segment of pinned) this.#release(segment);
      throw error;
    }
    this.#split(start);
    this.#split(end);
    for (const segment of this.#segments) if (segment.start >= start && segment.end <= end) segment.users++;
    this.#segments = [...this.#segments, ...pinned].sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  /** Undoes one {@link pin} of the same range. */
  unpin(offset: bigint, length: bigint): void {
    const start = pageDown(offset);
    const end = pageUp(offset + length);
    this.#split(start);
    this.#split(end);
    const kept: Segment[] = [];
    for (const segment of this.#segments) {
      const inside = segment.start >= start && segment.end <= end;
      if (inside && --segment.users === 0) this.#release(segment);
      else kept.push(segment);
    }
    this.#segments = kept;
  }

  /** Physical extents of pinned bytes, cut to the range; neighbours that continue each other are joined. */
  physical(offset: bigint, length: bigint): PhysicalExtent[] {
    const out: { pa: bigint; length: bigint }[] = [];
    for (const segment of this.#segments) {
      if (segment.end <= offset || segment.start >= offset + length) continue;
      let at = segment.start;
      for (const extent of segment.extents) {
        const from = at > offset ? at : offset;
        const to = at + extent.length < offset + length ? at + extent.length : offset + length;
        if (from < to) append(out, extent.pa + (from - at), to - from);
        at += extent.length;
      }
    }
    return out;
  }

  #pinHole(start: bigint, end: bigint): Segment {
    const pages = (end - start) / PAGE_SIZE;
    this.#injector.use('pin');
    this.#account.charge(pages);
    try {
      return { start, end, extents: this.source.pin(start, end - start, this.writable), users: 1 };
    } catch (error) {
      this.#account.uncharge(pages);
      throw error;
    }
  }

  #release({ start, end, extents }: Segment): void {
    this.source.unpin(start, end - start, extents);
    this.#account.uncharge((end - start) / PAGE_SIZE);
  }

  #holes(start: bigint, end: bigint): { start: bigint; end: bigint }[] {
    const holes: { start: bigint; end: bigint }[] = [];
    let next = start;
    for (const segment of this.#segments) {
      if (segment.end <= next || segment.start >= end) continue;
      if (segment.start > next) holes.push({ start: next, end: segment.start });
      next = segment.end;
    }
    if (next < end) holes.push({ start: next, end });
    return holes;
  }

  #split(at: bigint): void {
    const index = this.#segments.findIndex((segment) => segment.start < at && at < segment.end);
    if (index < 0) return;
    const { start, end, extents, users } = this.#segments[index]!;
    const [low, high] = cut(extents, at - start);
    this.#segments.splice(index, 1, { start, end: at, extents: low, users }, { start: at, end, extents: high, users });
  }
}

function append(out: { pa: bigint; length: bigint }[], pa: bigint, length: bigint): void {
  const previous = out.at(-1);
  if (previous && previous.pa + previous.length === pa) previous.length += length;
  else out.push({ pa, length });
}

function cut(extents: readonly PhysicalExtent[], at: bigint): [PhysicalExtent[], PhysicalExtent[]] {
  const low: PhysicalExtent[] = [];
  const high: PhysicalExtent[] = [];
  let offset = 0n;
  for (const { pa, length } of extents) {
    const split = at - offset;
    if (split >= length) low.push({ pa, length });
    else if (split <= 0n) high.push({ pa, length });
    else {
      low.push({ pa, length: split });
      high.push({ pa: pa + split, length: length - split });
    }
    offset += length;
  }
  return [low, high];
}
