/** Entries; a power of two. */
const ENTRIES = 1024;
/** One entry: endpoint, page number (high, low), generation, delta (high, low), MAP flags, log2 of the block. */
const WORDS = 8;
const PAGE_SHIFT = 12;

/** Offsets in an entry. */
export const CACHED = { DELTA_HI: 4, DELTA_LO: 5, FLAGS: 6, SIZE_LG2: 7 } as const;

/**
 * Remembers which mapping covers a whole 4 KiB page for an endpoint. Not architectural: an UNMAP, a DETACH or a move
 * takes effect when it completes, so each of them drops everything here and no stale answer can be seen.
 */
export class TranslationCache {
  readonly words = new Int32Array(ENTRIES * WORDS);
  private generation = 1;

  /** Index of the entry for an address, or -1. `endpoint` signed. */
  find(endpoint: number, hi: number, lo: number): number {
    const { words } = this;
    const page = lo >>> PAGE_SHIFT;
    const at = slotOf(endpoint, hi, page);
    const hit =
      words[at + 2] === page && words[at] === endpoint && words[at + 1] === hi && words[at + 3] === this.generation;
    return hit ? at : -1;
  }

  /** Only for a block of at least a page. */
  fill(endpoint: number, hi: number, lo: number, deltaHi: number, deltaLo: number, flags: number, lg2: number): void {
    const { words } = this;
    const page = lo >>> PAGE_SHIFT;
    const at = slotOf(endpoint, hi, page);
    words[at] = endpoint;
    words[at + 1] = hi;
    words[at + 2] = page;
    words[at + 3] = this.generation;
    words[at + CACHED.DELTA_HI] = deltaHi;
    words[at + CACHED.DELTA_LO] = deltaLo;
    words[at + CACHED.FLAGS] = flags;
    words[at + CACHED.SIZE_LG2] = lg2;
  }

  static covers(lg2: number): boolean {
    return lg2 >= PAGE_SHIFT;
  }

  drop(): void {
    if (this.generation === 0x3fff_ffff) {
      this.words.fill(0);
      this.generation = 0;
    }
    this.generation++;
  }
}

const slotOf = (endpoint: number, hi: number, page: number): number =>
  ((page ^ (page >>> 10) ^ Math.imul(endpoint, 0x9e3779b1) ^ Math.imul(hi, 0x85ebca6b)) & (ENTRIES - 1)) * WORDS;
