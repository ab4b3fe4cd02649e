import {
  complementOf,
  type DeviceHandle,
  intersectRanges,
  type ReservedRegion,
  type StaticDomainOps,
} from '@iommukit/core';
import { MAP_FLAG } from '../format/requests.ts';
import type { VirtioDevice } from './device.ts';
import { move, Place } from './place.ts';
import type { Unit } from './unit.ts';

/** Everything refused: no domain at all, or an empty one where the device lets unattached endpoints through. */
export class BlockedDomain implements StaticDomainOps {
  readonly kind = 'blocked';
  readonly #unit: () => Unit;
  #empty: Place | null = null;

  constructor(unit: () => Unit) {
    this.#unit = unit;
  }

  attach(device: DeviceHandle): void {
    const unit = this.#unit();
    unit.operation(() => {
      if (unit.detachedIsBlocked) move(unit.queue, device as VirtioDevice, null);
      else move(unit.queue, device as VirtioDevice, (this.#empty ??= new Place(unit.ids.take(), 'blocked')));
    });
  }

  /** The unit went down, its domain ids with it. */
  forget(): void {
    this.#empty = null;
  }

  free(): void {}
}

/**
 * Everything untranslated. With BYPASS_CONFIG a bypass domain; without, a domain with 1:1 mappings of all that the
 * device can translate and the platform has, but for the device's reserved regions: one domain for each set of those.
 */
export class IdentityDomain implements StaticDomainOps {
  readonly kind = 'identity';
  readonly #unit: () => Unit;
  readonly #places = new Map<string, Place>();

  constructor(unit: () => Unit) {
    this.#unit = unit;
  }

  attach(device: DeviceHandle): void {
    const unit = this.#unit();
    unit.operation(() => move(unit.queue, device as VirtioDevice, this.#placeFor(unit, device as VirtioDevice)));
  }

  /** The unit went down, its domain ids with it. */
  forget(): void {
    this.#places.clear();
  }

  free(): void {}

  #placeFor(unit: Unit, { reserved }: VirtioDevice): Place {
    const holes = unit.facts.bypassConfig ? [] : reserved.filter(({ type }) => type !== 'sw-msi');
    const key = holes.map(({ start, last }) => `${start}-${last}`).join();
    const known = this.#places.get(key);
    if (known) return known;
    const place = new Place(unit.ids.take(), unit.facts.bypassConfig ? 'bypass' : 'paging');
    if (!place.bypass) fillIdentity(place, unit, holes);
    this.#places.set(key, place);
    return place;
  }
}

/** Holes are widened to whole pages. */
function fillIdentity(place: Place, unit: Unit, holes: readonly ReservedRegion[]): void {
  const { input, pageSizes } = unit.facts;
  const mask = (pageSizes & -pageSizes) - 1n;
  const top = input.last < unit.hostLast ? input.last : unit.hostLast;
  const open = complementOf(holes.map(({ start, last }) => ({ start: start & ~mask, last: last | mask })));
  for (const { start, last } of intersectRanges([open, [{ start: input.start, last: top }]])) {
    place.mirror.insert({ start, last, pa: start, flags: MAP_FLAG.READ | MAP_FLAG.WRITE });
  }
}
