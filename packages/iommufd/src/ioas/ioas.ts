import { ensure, type IovaRange, TOP_ADDRESS } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import { IovaSpace, PAGE_SIZE } from '../iova/iova-space.ts';
import { IommufdObject } from '../objects/object.ts';
import { IoptPages } from '../pages/pages.ts';
import type { PageSource, PinAccount } from '../pages/source.ts';
import { type Area, lengthOf } from './area.ts';
import { mapArea, unmapArea } from './domain-fill.ts';
import type { AttachedAccess, AttachedDomain } from './users.ts';

export interface MapRequest {
  readonly source: PageSource;
  /** User address or file offset of the first byte: gives the offset in the first page and the wanted alignment. */
  readonly address: bigint;
  readonly length: bigint;
  /** null = place it automatically. */
  readonly iova: bigint | null;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly account: PinAccount;
}

/** How often an unmap asks in-kernel users to let go before it gives up. */
const MAX_UNMAP_TRIES = 100;

/** An I/O address space: mappings, mirrored in every domain that joined, and the rules they keep. */
export class Ioas extends IommufdObject {
  readonly type = 'ioas';
  readonly space = new IovaSpace<Area>();
  readonly domains = new Set<AttachedDomain>();
  readonly accesses = new Set<AttachedAccess>();
  #hugePages = true;

  constructor(context: IommufdContext) {
    super(context);
    context.injector.use('alloc');
  }

  /** Maps and returns the iova. EINVAL, EOVERFLOW, EEXIST, ENOSPC of placement; EFAULT, ENOMEM of pinning. */
  map(request: MapRequest): bigint {
    const { length, address, iova, readable, writable } = request;
    this.#checkLength(length);
    const start = iova ?? this.space.place({ length, source: address });
    if (iova !== null) this.space.checkFixed(iova, length);
    ensure((address % PAGE_SIZE) % this.space.alignment === 0n, 'EINVAL', 'the memory is not aligned');
    this.context.injector.use('alloc');
    const pageOffset = address % PAGE_SIZE;
    const pages = new IoptPages(request.source, address - pageOffset, writable, request.account, this.context.injector);
    const area = { start, last: start + length - 1n, readable, writable, pages, offset: pageOffset, pins: 0, locks: 0 };
    this.#enter([area]);
    return start;
  }

  /** Maps slices of another IOAS' areas, sharing their pages. The slices were found by {@link slices}. */
  copy(slices: readonly PageSlice[], iova: bigint | null, readable: boolean, writable: boolean): bigint {
    const length = slices.reduce((sum, slice) => sum + slice.length, 0n);
    this.#checkLength(length);
    const source = slices[0]!.pages.base + slices[0]!.offset;
    const start = iova ?? this.space.place({ length, source });
    if (iova !== null) this.space.checkFixed(iova, length);
    for (const { pages, offset } of slices) {
      ensure(!writable || pages.writable, 'EPERM', 'the memory is read-only');
      ensure((offset % PAGE_SIZE) % this.space.alignment === 0n, 'EINVAL', 'the memory is not aligned');
    }
    const areas: Area[] = [];
    let next = start;
    for (const { pages, offset, length: size } of slices) {
      this.context.injector.use('alloc');
      areas.push({ start: next, last: next + size - 1n, readable, writable, pages, offset, pins: 0, locks: 0 });
      next += size;
    }
    this.#enter(areas);
    return start;
  }

  /** The pages under a range that is covered without a hole. ENOENT otherwise. */
  slices(iova: bigint, length: bigint): PageSlice[] {
    const last = iova + length - 1n;
    const out: PageSlice[] = [];
    let next = iova;
    for (const area of this.space.areas.within(iova, last)) {
      ensure(area.start <= next, 'ENOENT', 'the range has a hole');
      const end = area.last < last ? area.last : last;
      out.push({ area, pages: area.pages, offset: area.offset + (next - area.start), length: end - next + 1n });
      next = end + 1n;
    }
    ensure(next === last + 1n, 'ENOENT', 'the range has a hole');
    return out;
  }

  /**
   * Removes whole areas inside `[iova, last]`, from low to high, and returns their bytes. EBUSY: locked by a queue;
   * ENOENT: an area sticks out; EDEADLOCK: somebody keeps pinning. Areas already passed stay removed.
   */
  unmap(iova: bigint, last: bigint): bigint {
    let removed = 0n;
    let tries = 0;
    for (let area = this.space.areas.atOrAfter(iova); area && area.start <= last; ) {
      ensure(area.locks === 0, 'EBUSY', 'a hardware queue lives there');
      ensure(area.start >= iova && area.last <= last, 'ENOENT', 'a mapping sticks out of the range');
      if (area.pins > 0) {
        ensure(++tries <= MAX_UNMAP_TRIES, 'EDEADLOCK', 'the range is pinned again and again');
        for (const access of [...this.accesses]) access.unmapRange(area.start, lengthOf(area));
        area = this.space.areas.atOrAfter(iova);
        continue;
      }
      this.#remove(area);
      removed += lengthOf(area);
      area = area.last === TOP_ADDRESS ? null : this.space.areas.atOrAfter(area.last + 1n);
    }
    return removed;
  }

  /**
   * Cuts the mapping around `last` in two, so that the first ends there; for VFIO's type 1. No mapping, or one that ends
   * there: nothing happens. EINVAL: large entries may be in use, something is pinned, or a misaligned cut; EOPNOTSUPP.
   */
  cut(last: bigint): void {
    const area = this.space.areas.at(last);
    if (!area || area.last === last) return;
    const low = { ...area, last };
    const high = { ...area, start: last + 1n, offset: area.offset + (last + 1n - area.start) };
    const aligned = (high.start | (high.offset % PAGE_SIZE)) % this.space.alignment === 0n;
    ensure(aligned, 'EINVAL', 'the cut is not aligned');
    ensure(area.pages.source.kind !== 'dma-buf', 'EOPNOTSUPP', 'a dma-buf stays whole');
    ensure(!this.#hugePages || this.domains.size === 0, 'EINVAL', 'large entries may be in use');
    ensure(area.pins === 0 && area.locks === 0, 'EINVAL', 'the mapping is pinned');
    this.context.injector.use('alloc');
    this.space.areas.delete(area);
    this.space.areas.insert(low);
    this.space.areas.insert(high);
  }

  /** A domain joins: its apertures are reserved, the alignment rises, every mapping is entered. All or nothing. */
  addDomain(user: AttachedDomain): void {
    const { granule, ops } = user.domain;
    ensure(granule <= PAGE_SIZE, 'EINVAL', `the domain's smallest page is ${granule}`);
    this.#checkAlignment(granule);
    this.context.injector.use('alloc');
    this.space.reserve(user, outside(ops.geometry));
    const filled: Area[] = [];
    try {
      for (const area of this.space.areas) {
        if (this.domains.size === 0) area.pages.pin(area.offset, lengthOf(area));
        try {
          mapArea(user.domain, area, this.#hugePages, this.context.injector);
        } catch (error) {
          if (this.domains.size === 0) area.pages.unpin(area.offset, lengthOf(area));
          throw error;
        }
        filled.push(area);
      }
    } catch (error) {
      for (const area of filled) this.#drain(user, area);
      this.space.unreserve(user);
      throw error;
    }
    this.domains.add(user);
    this.#updateAlignment();
  }

  removeDomain(user: AttachedDomain): void {
    this.domains.delete(user);
    for (const area of this.space.areas) this.#drain(user, area);
    this.space.unreserve(user);
    this.#updateAlignment();
  }

  /** An in-kernel user joins. EADDRINUSE when mappings do not keep the alignment it needs. */
  addAccess(access: AttachedAccess): void {
    this.#checkAlignment(access.alignment);
    this.accesses.add(access);
    this.retain();
    this.#updateAlignment();
  }

  removeAccess(access: AttachedAccess): void {
    if (!this.accesses.delete(access)) return;
    this.release();
    this.#updateAlignment();
  }

  get hugePages(): boolean {
    return this.#hugePages;
  }

  /** Turning large entries off: EINVAL with domains and areas, EADDRINUSE when areas are not page-aligned. */
  setHugePages(on: boolean): void {
    if (on === this.#hugePages) return;
    if (!on) {
      ensure(this.domains.size === 0 || this.space.areas.size === 0, 'EINVAL', 'domains and mappings exist');
      this.#checkAlignment(PAGE_SIZE);
    }
    this.#hugePages = on;
    this.#updateAlignment();
  }

  dispose(): void {
    for (const area of [...this.space.areas]) this.#remove(area);
    this.context.forgetIoas(this);
  }

  #checkLength(length: bigint): void {
    ensure(length > 0n && length <= TOP_ADDRESS - PAGE_SIZE, 'EINVAL', 'impossible length');
    ensure(length % this.space.alignment === 0n, 'EINVAL', `the length is no multiple of ${this.space.alignment}`);
  }

  #enter(areas: readonly Area[]): void {
    const done: Area[] = [];
    try {
      for (const area of areas) {
        this.#fill(area);
        this.space.areas.insert(area);
        area.unwatch = area.pages.source.watch?.(() => this.#lose(area));
        done.push(area);
      }
    } catch (error) {
      for (const area of done) this.#remove(area);
      throw error;
    }
  }

  /** Enters an area into every domain, or into none. */
  #fill(area: Area): void {
    if (this.domains.size === 0) return;
    area.pages.pin(area.offset, lengthOf(area));
    const mapped: AttachedDomain[] = [];
    try {
      for (const user of this.domains) {
        mapArea(user.domain, area, this.#hugePages, this.context.injector);
        mapped.push(user);
      }
    } catch (error) {
      for (const user of mapped) unmapArea(user.domain, area);
      area.pages.unpin(area.offset, lengthOf(area));
      throw error;
    }
  }

  /** The exporter takes the memory back: the addresses stay occupied, nothing is mapped there any more. */
  #lose(area: Area): void {
    for (const user of this.domains) unmapArea(user.domain, area);
  }

  #remove(area: Area): void {
    area.unwatch?.();
    this.space.areas.delete(area);
    for (const user of this.domains) unmapArea(user.domain, area);
    if (this.domains.size > 0) area.pages.unpin(area.offset, lengthOf(area));
  }

  #drain(user: AttachedDomain, area: Area): void {
    unmapArea(user.domain, area);
    if (this.domains.size === 0) area.pages.unpin(area.offset, lengthOf(area));
  }

  #checkAlignment(alignment: bigint): void {
    if (alignment <= this.space.alignment) return;
    for (const area of this.space.areas) {
      const bits = area.start | (area.last + 1n) | (area.offset % PAGE_SIZE);
      ensure(bits % alignment === 0n, 'EADDRINUSE', `a mapping is not aligned to ${alignment}`);
    }
  }

  #updateAlignment(): void {
    const wanted = [this.#hugePages ? 1n : PAGE_SIZE];
    for (const { domain } of this.domains) wanted.push(domain.granule);
    for (const { alignment } of this.accesses) wanted.push(alignment);
    this.space.alignment = wanted.reduce((a, b) => (a > b ? a : b));
  }
}

export interface PageSlice {
  readonly area: Area;
  readonly pages: IoptPages;
  /** Byte offset in the pages. */
  readonly offset: bigint;
  readonly length: bigint;
}

function outside({ start, last }: IovaRange): IovaRange[] {
  const ranges: IovaRange[] = [];
  if (start > 0n) ranges.push({ start: 0n, last: start - 1n });
  if (last < TOP_ADDRESS) ranges.push({ start: last + 1n, last: TOP_ADDRESS });
  return ranges;
}
