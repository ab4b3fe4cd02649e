import {
  addToGather,
  type DeviceHandle,
  ensure,
  type Gather,
  type Geometry,
  IommuError,
  isIommuError,
  type MapResult,
  type PagingDomainOps,
  PROT,
  type Prot,
} from '@iommukit/core';
import { MAP_FLAG, REQUEST_STATUS } from '../format/requests.ts';
import type { VirtioDevice } from './device.ts';
import type { Mapping } from './mirror.ts';
import { move, Place } from './place.ts';
import type { Pending } from './request-queue.ts';
import { unmapRequest } from './requests.ts';
import { mapError } from './status.ts';
import type { Unit } from './unit.ts';

/** A domain the host maps. MAP and UNMAP are queued; the sync operations wait and look at every status. */
export class VirtioPagingDomain implements PagingDomainOps {
  readonly kind = 'paging';
  readonly nestParent = false;
  readonly pageSizes: bigint;
  readonly geometry: Geometry;
  readonly place: Place;
  readonly #unit: Unit;
  /** MAP requests whose status nobody has looked at. */
  #mapping: Pending[] = [];
  #unmapping: Pending[] = [];
  /** Ranges that left the mirror and that the device still has to be told of. */
  #removed: { start: bigint; last: bigint }[] = [];

  /** Throws ENOSPC. */
  constructor(unit: Unit) {
    this.#unit = unit;
    this.pageSizes = unit.facts.pageSizes;
    this.geometry = unit.facts.input;
    this.place = new Place(unit.ids.take());
  }

  /** Throws EINVAL for a device of another unit, and as the device refuses. */
  attach(handle: DeviceHandle): void {
    const device = handle as VirtioDevice;
    ensure(device.unit === this.#unit, 'EINVAL', 'the endpoint sits behind another device');
    if (this.place.members === 0) this.#removed = [];
    this.#unit.operation(() => move(this.#unit.queue, device, this.place));
  }

  free(): void {
    this.#unit.ids.release(this.place.id);
  }

  mapPages(iova: bigint, pa: bigint, pageSize: bigint, count: number, prot: Prot): MapResult {
    const size = pageSize * BigInt(count);
    const mapping = { start: iova, last: iova + size - 1n, pa, flags: flagsOf(prot) };
    const error = this.#refusal(mapping) ?? this.#send(mapping);
    return error ? { mapped: 0, error } : { mapped: count, error: null };
  }

  unmapPages(iova: bigint, size: bigint, gather: Gather): bigint {
    const last = iova + size - 1n;
    let next = iova;
    for (let found = this.place.mirror.take(next, last); found !== null; found = this.place.mirror.take(next, last)) {
      const length = found.last - found.start + 1n;
      addToGather(gather, found.start, length, length);
      next = found.last + 1n;
    }
    if (next > iova && this.place.members > 0) this.#removed.push({ start: iova, last: next - 1n });
    return next - iova;
  }

  /** Waits until the device has taken the mappings of `[iova, iova + size)`. When it refuses one, all are undone. */
  syncMap(iova: bigint, size: bigint): void {
    const sent = this.#mapping;
    this.#mapping = [];
    try {
      this.#unit.operation(() => this.#wait(sent));
    } catch (error) {
      this.#undo(iova, size);
      throw error;
    }
  }

  syncUnmap(_gather: Gather): void {
    this.#unit.operation(() => this.#finishUnmaps());
  }

  /** The device caches nothing it could flush; but removals it was not told of yet go out. */
  flushAll(): void {
    this.#unit.operation(() => {
      this.#finishUnmaps();
      this.#unit.queue.sync();
    });
  }

  iovaToPhys(iova: bigint): bigint | null {
    const found = this.place.mirror.at(iova);
    return found && found.pa + (iova - found.start);
  }

  /** The device would refuse these too, but its answer comes only with the sync. */
  #refusal({ start, last, pa, flags }: Mapping): IommuError | null {
    const { facts, hostLast } = this.#unit;
    if (pa + (last - start) > hostLast) return new IommuError('ERANGE', 'the physical address is too wide');
    if ((flags & MAP_FLAG.MMIO) !== 0 && !facts.mmio)
      return new IommuError('EINVAL', 'the device has no MMIO mappings');
    if (this.place.mirror.overlaps(start, last)) return new IommuError('EEXIST', 'something is mapped there');
    return null;
  }

  /** Puts a mapping into the mirror and, if the domain exists at the device, into the queue. */
  #send(mapping: Mapping): Error | null {
    if (this.place.members > 0) {
      try {
        this.#unit.operation(() => {
          this.#queueUnmaps();
          this.#mapping.push(this.place.send(this.#unit.queue, mapping));
        });
      } catch (error) {
        return error as Error;
      }
    }
    this.place.mirror.insert(mapping);
    return null;
  }

  /** UNMAPs go out before whatever is mapped after them. */
  #queueUnmaps(): void {
    for (let range = this.#removed[0]; range !== undefined; range = this.#removed[0]) {
      this.#unmapping.push(this.#unit.queue.add(unmapRequest(this.place.id, range.start, range.last)));
      this.#removed.shift();
    }
  }

  #finishUnmaps(): void {
    if (this.place.members === 0) this.#removed = [];
    this.#queueUnmaps();
    const sent = this.#unmapping;
    this.#unmapping = [];
    this.#wait(sent);
  }

  #wait(sent: readonly Pending[]): void {
    if (sent.length === 0) return;
    this.#unit.queue.sync();
    for (const { status } of sent) if (status !== REQUEST_STATUS.OK) throw mapError(status);
  }

  /** The first error is the one to tell; what the device keeps after a second one is beyond reach. */
  #undo(iova: bigint, size: bigint): void {
    const last = iova + size - 1n;
    for (let found = this.place.mirror.take(iova, last); found; found = this.place.mirror.take(found.last + 1n, last));
    if (this.place.members > 0) this.#removed.push({ start: iova, last });
    try {
      this.#unit.operation(() => this.#finishUnmaps());
    } catch (error) {
      if (!isIommuError(error)) throw error;
    }
  }
}

/** CACHE, NOEXEC and PRIV have no bit here: DMA is coherent, and fetches and privilege are not told apart. */
const flagsOf = (prot: Prot): number =>
  ((prot & PROT.READ) !== 0 ? MAP_FLAG.READ : 0) |
  ((prot & PROT.WRITE) !== 0 ? MAP_FLAG.WRITE : 0) |
  ((prot & PROT.MMIO) !== 0 ? MAP_FLAG.MMIO : 0);
