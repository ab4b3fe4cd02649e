import type { PhysicalExtent } from '@iommukit/iommufd';

const PAGE = 4096;

/** How often each host page is pinned. Whoever embeds iommufd keeps one, whatever files and processes the pins are for. */
export class PinCounts {
  readonly #counts = new Map<number, number>();

  /** Pages pinned at least once. */
  get pages(): number {
    return this.#counts.size;
  }

  add(extents: readonly PhysicalExtent[]): void {
    this.#change(extents, 1);
  }

  remove(extents: readonly PhysicalExtent[]): void {
    this.#change(extents, -1);
  }

  /** Pins of the page around a physical address. */
  at(pa: bigint): number {
    return this.#counts.get(Math.floor(Number(pa) / PAGE)) ?? 0;
  }

  #change(extents: readonly PhysicalExtent[], by: number): void {
    for (const { pa, length } of extents) {
      const first = Math.floor(Number(pa) / PAGE);
      const end = Math.ceil(Number(pa + length) / PAGE);
      for (let page = first; page < end; page++) {
        const count = (this.#counts.get(page) ?? 0) + by;
        if (count === 0) this.#counts.delete(page);
        else this.#counts.set(page, count);
      }
    }
  }
}
