import { ensure } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { Ioas, PageSlice } from '../ioas/ioas.ts';
import type { AttachedAccess } from '../ioas/users.ts';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import type { PhysicalExtent } from '../pages/source.ts';
import { IommufdObject } from './object.ts';

export interface AccessUser {
  /** Pins pages (then mappings are page-aligned); else only reads and writes by copy. */
  readonly needsPins: boolean;
  /** Must unpin everything inside the range before it returns. */
  unmap(iova: bigint, length: bigint): void;
}

/** A range an access holds in place. */
export interface Pin {
  readonly iova: bigint;
  readonly length: bigint;
  readonly extents: readonly PhysicalExtent[];
}

const TOP_LENGTH = (1n << 64n) - 1n;

/** An in-kernel user of an IOAS: an emulated device, or the memory of a hardware queue. Its creator holds it. */
export class Access extends IommufdObject implements AttachedAccess {
  readonly type = 'access';
  readonly user: AccessUser;
  #ioas: Ioas | null = null;
  readonly #pins = new Map<Pin, readonly PageSlice[]>();
  #blocked = false;

  private constructor(context: IommufdContext, user: AccessUser) {
    super(context);
    this.user = user;
    this.retain();
  }

  static create(context: IommufdContext, user: AccessUser): Access {
    context.injector.use('alloc');
    return context.publish(new Access(context, user));
  }

  get ioas(): Ioas | null {
    return this.#ioas;
  }

  get alignment(): bigint {
    return this.user.needsPins ? PAGE_SIZE : 1n;
  }

  /** EINVAL: attached already; EADDRINUSE: mappings are not aligned enough. */
  attach(ioas: Ioas): void {
    ensure(this.#ioas === null, 'EINVAL', 'the access is attached');
    ioas.addAccess(this);
    this.#ioas = ioas;
  }

  /** ENOENT: detached. The same IOAS: nothing happens. Else joins the new one, then asks the user to drop all pins. */
  replace(ioas: Ioas): void {
    const old = this.#ioas;
    ensure(old !== null, 'ENOENT', 'the access is not attached');
    if (old === ioas) return;
    ioas.addAccess(this);
    this.#leave(old);
    this.#ioas = ioas;
  }

  detach(): void {
    if (!this.#ioas) return;
    this.#leave(this.#ioas);
    this.#ioas = null;
  }

  /** EINVAL: empty, misaligned; EOVERFLOW; ENOENT: detached or a hole; EPERM; EFAULT. Nothing stays pinned on failure. */
  pin(iova: bigint, length: bigint, write: boolean): Pin {
    const ioas = this.#check(iova, length);
    ensure(!this.#blocked, 'ENOENT', 'the access is leaving its address space');
    this.context.injector.use('alloc');
    const done: PageSlice[] = [];
    try {
      for (const slice of this.#walk(ioas, iova, length, write)) {
        ensure(meetsPage(slice, done.length === 0), 'EINVAL', 'a piece is not page-aligned');
        ensure(slice.pages.source.kind !== 'dma-buf', 'EINVAL', 'a dma-buf cannot be pinned');
        slice.pages.pin(slice.offset, slice.length);
        slice.area.pins++;
        done.push(slice);
      }
    } catch (error) {
      unpinSlices(done);
      throw error;
    }
    const extents = done.flatMap(({ pages, offset, length: size }) => pages.physical(offset, size));
    const pin = { iova, length, extents };
    this.#pins.set(pin, done);
    return pin;
  }

  /** ENOENT: not one of ours, or gone already. */
  unpin(pin: Pin): void {
    const slices = this.#pins.get(pin);
    ensure(slices !== undefined, 'ENOENT', 'no such pin');
    this.#pins.delete(pin);
    unpinSlices(slices);
  }

  get pins(): readonly Pin[] {
    return [...this.#pins.keys()];
  }

  /** Copies between `bytes` and mapped memory. EINVAL, EOVERFLOW, ENOENT, EPERM as {@link pin}; EFAULT. */
  copy(iova: bigint, bytes: Uint8Array, write: boolean): void {
    const ioas = this.#check(iova, BigInt(bytes.length));
    let at = 0;
    for (const { pages, offset, length } of this.#walk(ioas, iova, BigInt(bytes.length), write)) {
      ensure(pages.source.kind !== 'dma-buf', 'EINVAL', 'a dma-buf is not for the host to touch');
      const part = bytes.subarray(at, at + Number(length));
      const done = write ? pages.source.write(offset, part) : pages.source.read(offset, part);
      ensure(done, 'EFAULT', 'the memory faults');
      at += Number(length);
    }
  }

  unmapRange(iova: bigint, length: bigint): void {
    this.user.unmap(iova, length);
  }

  /** The creator lets go. */
  destroy(): void {
    this.detach();
    this.release();
    this.context.destroyObject(this);
  }

  dispose(): void {
    for (const pin of this.pins) this.unpin(pin);
    this.detach();
  }

  #leave(ioas: Ioas): void {
    this.#blocked = true;
    if (this.#pins.size > 0) this.user.unmap(0n, TOP_LENGTH);
    this.#blocked = false;
    for (const pin of this.pins) this.unpin(pin);
    ioas.removeAccess(this);
  }

  #check(iova: bigint, length: bigint): Ioas {
    ensure(length > 0n, 'EINVAL', 'empty range');
    ensure(iova + length - 1n <= TOP_LENGTH, 'EOVERFLOW', 'the range wraps');
    ensure(this.#ioas !== null, 'ENOENT', 'the access is not attached');
    return this.#ioas;
  }

  *#walk(ioas: Ioas, iova: bigint, length: bigint, write: boolean): Generator<PageSlice> {
    const last = iova + length - 1n;
    let next = iova;
    for (const area of ioas.space.areas.within(iova, last)) {
      ensure(area.start <= next, 'ENOENT', 'the range has a hole');
      ensure(write ? area.writable : area.readable, 'EPERM', 'the mapping does not allow it');
      const end = area.last < last ? area.last : last;
      yield { area, pages: area.pages, offset: area.offset + (next - area.start), length: end - next + 1n };
      next = end + 1n;
    }
    ensure(next === last + 1n, 'ENOENT', 'the range has a hole');
  }
}

function unpinSlices(slices: readonly PageSlice[]): void {
  for (const { area, pages, offset, length } of slices) {
    area.pins--;
    pages.unpin(offset, length);
  }
}

/** Inside a request pieces meet at page boundaries; only its two ends may lie inside a page. */
function meetsPage({ offset }: PageSlice, first: boolean): boolean {
  return first || offset % PAGE_SIZE === 0n;
}
