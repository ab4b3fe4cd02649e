import { PAGE_SIZE, type PhysicalExtent } from '@iommukit/iommufd';

/** Pins are kept apart in blocks, so that looking up a page stays cheap. In pages. */
const BLOCK_PAGES = 1 << 18;

/**
 * How often each host page is pinned, over all processes and open files. A pin is remembered by its two ends, not page
 * by page, and may be undone in other pieces than it was made in.
 */
export class PinLedger {
  readonly #blocks = new Map<number, BlockPins>();
  #pages = 0;

  /** Pages pinned now, each pin counted. */
  get pages(): number {
    return this.#pages;
  }

  add(extents: readonly PhysicalExtent[]): void {
    this.#change(extents, 1);
  }

  remove(extents: readonly PhysicalExtent[]): void {
    this.#change(extents, -1);
  }

  /** Pins of the page around a physical address. */
  at(pa: bigint): number {
    const page = Number(pa / PAGE_SIZE);
    return this.#blocks.get(Math.floor(page / BLOCK_PAGES))?.at(page) ?? 0;
  }

  /** Nothing is pinned in the block a physical address lies in. */
  idle(pa: bigint): boolean {
    return !this.#blocks.has(Math.floor(Number(pa / PAGE_SIZE) / BLOCK_PAGES));
  }

  #change(extents: readonly PhysicalExtent[], by: number): void {
    for (const { pa, length } of extents) {
      const end = Number((pa + length + PAGE_SIZE - 1n) / PAGE_SIZE);
      for (let page = Number(pa / PAGE_SIZE); page < end; ) {
        const block = Math.floor(page / BLOCK_PAGES);
        const stop = Math.min(end, (block + 1) * BLOCK_PAGES);
        this.#changeBlock(block, page, stop, by);
        this.#pages += by * (stop - page);
        page = stop;
      }
    }
  }

  #changeBlock(block: number, first: number, end: number, by: number): void {
    let pins = this.#blocks.get(block);
    if (!pins) this.#blocks.set(block, (pins = new BlockPins()));
    pins.change(first, by);
    pins.change(end, -by);
    if (pins.empty) this.#blocks.delete(block);
  }
}

/** The number of pins of a page is the sum of all steps at or below it. */
class BlockPins {
  readonly #steps = new Map<number, number>();
  /** Pages with a step, ascending, and the number of pins from each on. Made when asked, dropped on a change. */
  #sums: { readonly pages: readonly number[]; readonly pins: readonly number[] } | null = null;

  get empty(): boolean {
    return this.#steps.size === 0;
  }

  change(page: number, by: number): void {
    const step = (this.#steps.get(page) ?? 0) + by;
    if (step === 0) this.#steps.delete(page);
    else this.#steps.set(page, step);
    this.#sums = null;
  }

  at(page: number): number {
    const { pages, pins } = (this.#sums ??= this.#sum());
    let low = 0;
    let high = pages.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pages[middle]! <= page) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : pins[low - 1]!;
  }

  #sum() {
    let sum = 0;
    const steps = [...this.#steps].sort(([a], [b]) => a - b);
    return { pages: steps.map(([page]) => page), pins: steps.map(([, step]) => (sum += step)) };
  }
}
