import { IommuError } from '@iommukit/core';
import type { PhysicalExtent } from '@iommukit/iommufd';

/** Physical addresses are given out in pieces of this size: wide enough for every large leaf there is. */
const WINDOW = 1n << 30n;

/** Memory by what it is, not where somebody sees it: an object (file, or a process' private memory) and a place in it. */
export interface PlacedMemory {
  readonly object: string;
  readonly offset: bigint;
  readonly length: bigint;
}

interface Window {
  readonly object: string;
  readonly index: bigint;
  readonly pa: bigint;
}

export interface WindowsOptions {
  /** Physical addresses to give out, multiples of 1 GiB; `last` is inclusive. */
  readonly start: bigint;
  readonly last: bigint;
  /** Nothing is pinned in the window at this address: it may be given to other memory. */
  readonly idle: (pa: bigint) => boolean;
}

/**
 * Invents physical addresses for memory we only know by its identity. The same page has the same address whoever maps
 * it; neighbours stay neighbours, and addresses are congruent to the offset modulo 1 GiB, so that large leaves form.
 */
export class Windows {
  readonly #options: WindowsOptions;
  readonly #objects = new Map<string, Map<bigint, Window>>();
  #free: bigint[] = [];
  #next: bigint;

  constructor(options: WindowsOptions) {
    this.#options = options;
    this.#next = options.start;
  }

  /** Physical extents in order; neighbours are joined. ENOMEM: every window holds pinned memory. */
  place(pieces: readonly PlacedMemory[]): PhysicalExtent[] {
    const out: { pa: bigint; length: bigint }[] = [];
    const used = new Set<Window>();
    for (const { object, offset, length } of pieces) {
      for (let at = offset; at < offset + length; ) {
        const window = this.#window(object, at / WINDOW, used);
        used.add(window);
        const inside = at % WINDOW;
        const size = offset + length - at < WINDOW - inside ? offset + length - at : WINDOW - inside;
        append(out, window.pa + inside, size);
        at += size;
      }
    }
    return out;
  }

  #window(object: string, index: bigint, used: ReadonlySet<Window>): Window {
    let windows = this.#objects.get(object);
    const known = windows?.get(index);
    if (known) return known;
    const window = { object, index, pa: this.#take(used) };
    // Taking may have swept the object's last window away.
    windows = this.#objects.get(object) ?? new Map();
    this.#objects.set(object, windows.set(index, window));
    return window;
  }

  #take(used: ReadonlySet<Window>): bigint {
    if (this.#free.length === 0 && this.#next > this.#options.last) this.#sweep(used);
    const free = this.#free.shift();
    if (free !== undefined) return free;
    if (this.#next > this.#options.last) throw new IommuError('ENOMEM', 'too much memory is pinned at once');
    const pa = this.#next;
    this.#next += WINDOW;
    return pa;
  }

  #sweep(used: ReadonlySet<Window>): void {
    for (const [object, windows] of this.#objects) {
      for (const window of windows.values()) {
        if (used.has(window) || !this.#options.idle(window.pa)) continue;
        windows.delete(window.index);
        this.#free.push(window.pa);
      }
      if (windows.size === 0) this.#objects.delete(object);
    }
    this.#free.sort((a, b) => (a < b ? -1 : 1));
  }
}

function append(out: { pa: bigint; length: bigint }[], pa: bigint, length: bigint): void {
  const previous = out.at(-1);
  if (previous && previous.pa + previous.length === pa) previous.length += length;
  else out.push({ pa, length });
}
