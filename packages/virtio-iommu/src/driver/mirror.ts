/** A mapping as one MAP request made it; the device removes it whole or not at all. `last` is inclusive. */
export interface Mapping {
  readonly start: bigint;
  readonly last: bigint;
  readonly pa: bigint;
  /** MAP flags. */
  readonly flags: number;
}

const CHUNK = 256;

/**
 * What the driver believes the device holds for a domain: disjoint mappings by address, in sorted chunks of bounded
 * length, so that neither a lookup nor an insertion walks them all.
 */
export class Mirror {
  #chunks: Mapping[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The mapping that holds `address`, or null. */
  at(address: bigint): Mapping | null {
    const found = this.#floor(address);
    return found !== null && found.last >= address ? found : null;
  }

  /** Whether `[start, last]` shares an address with some mapping. */
  overlaps(start: bigint, last: bigint): boolean {
    const found = this.#floor(last);
    return found !== null && found.last >= start;
  }

  /** Adds a mapping that overlaps none. */
  insert(mapping: Mapping): void {
    const at = Math.max(0, this.#chunkOf(mapping.start));
    const chunk = this.#chunks[at];
    this.#size++;
    if (chunk === undefined) {
      this.#chunks.push([mapping]);
      return;
    }
    chunk.splice(firstAbove(chunk, mapping.start), 0, mapping);
    if (chunk.length > CHUNK) this.#chunks.splice(at + 1, 0, chunk.splice(chunk.length >> 1));
  }

  /** Removes and returns the mapping that starts exactly at `start`, when it ends at or before `last`; else null. */
  take(start: bigint, last: bigint): Mapping | null {
    const at = this.#chunkOf(start);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return null;
    const slot = firstAbove(chunk, start) - 1;
    const found = chunk[slot];
    if (found === undefined || found.start !== start || found.last > last) return null;
    chunk.splice(slot, 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    this.#size--;
    return found;
  }

  *[Symbol.iterator](): Generator<Mapping> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  #floor(address: bigint): Mapping | null {
    const chunk = this.#chunks[this.#chunkOf(address)];
    return chunk?.[firstAbove(chunk, address) - 1] ?? null;
  }

  /** Index of the last chunk that begins at or below an address; -1 when none does. */
  #chunkOf(address: bigint): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks[middle]![0]!.start <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function firstAbove(chunk: readonly Mapping[], address: bigint): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunk[middle]!.start <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}
