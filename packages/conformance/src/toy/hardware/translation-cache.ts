import { INDEX_BITS, LEVELS, PAGE_LG2 } from '../format/pte.ts';

const ENTRIES = 8192;
const EMPTY = -1;

/**
 * Leaves the unit remembers, by tag and page; direct-mapped, so that its size is bounded. It takes in every translation
 * and lets go only on command or for a newer one: a driver that forgets an invalidation must fail.
 */
export class TranslationCache {
  /** Fields of the entry {@link find} found, by index. */
  readonly paHi = new Int32Array(ENTRIES);
  readonly paLo = new Int32Array(ENTRIES);
  readonly permissions = new Uint8Array(ENTRIES);
  readonly dirty = new Uint8Array(ENTRIES);
  readonly levels = new Uint8Array(ENTRIES);
  private readonly pages = new Int32Array(ENTRIES).fill(EMPTY);
  private readonly tags = new Int32Array(ENTRIES);

  /** Index of the entry for a page frame of either size, or -1. */
  find(tag: number, gtag: number, frame: number): number {
    const tags = (gtag << 16) | tag;
    for (let level = 0; level < LEVELS; level++) {
      const page = frame >>> (level * INDEX_BITS);
      const at = placeOf(tags, page, level);
      if (this.pages[at] === page && this.tags[at] === tags && this.levels[at] === level) return at;
    }
    return -1;
  }

  /** Remembers the page of `2^pageLg2` bytes around `frame`; `paHi`/`paLo` may point inside it. */
  insert(
    tag: number,
    gtag: number,
    frame: number,
    pageLg2: number,
    paHi: number,
    paLo: number,
    permissions: number,
  ): number {
    const level = (pageLg2 - PAGE_LG2) / INDEX_BITS;
    const page = frame >>> (level * INDEX_BITS);
    const tags = (gtag << 16) | tag;
    const at = placeOf(tags, page, level);
    this.pages[at] = page;
    this.tags[at] = tags;
    this.levels[at] = level;
    this.paHi[at] = paHi;
    this.paLo[at] = paLo & ~(2 ** pageLg2 - 1);
    this.permissions[at] = permissions;
    this.dirty[at] = 0;
    return at;
  }

  clear(): void {
    this.pages.fill(EMPTY);
  }

  forgetTag(tag: number): void {
    for (let at = 0; at < ENTRIES; at++) if ((this.tags[at]! & 0xffff) === tag) this.pages[at] = EMPTY;
  }

  /** Host pages `[frame, last]` of a tag, and everything nested over it: its guest addresses say nothing here. */
  forgetRange(tag: number, frame: number, last: number): void {
    for (let at = 0; at < ENTRIES; at++) {
      if ((this.tags[at]! & 0xffff) !== tag) continue;
      if (this.tags[at]! >>> 16 !== 0 || this.meets(at, frame, last)) this.pages[at] = EMPTY;
    }
  }

  forgetGuest(tag: number, gtag: number): void {
    const tags = (gtag << 16) | tag;
    for (let at = 0; at < ENTRIES; at++) if (this.tags[at] === tags) this.pages[at] = EMPTY;
  }

  forgetGuestRange(tag: number, gtag: number, frame: number, last: number): void {
    const tags = (gtag << 16) | tag;
    for (let at = 0; at < ENTRIES; at++)
      if (this.tags[at] === tags && this.meets(at, frame, last)) this.pages[at] = EMPTY;
  }

  private meets(at: number, frame: number, last: number): boolean {
    const shift = this.levels[at]! * INDEX_BITS;
    const page = this.pages[at]!;
    return page >= frame >>> shift && page <= last >>> shift;
  }
}

const placeOf = (tags: number, page: number, level: number): number =>
  (page ^ (page >>> 13) ^ Math.imul(tags, 0x9e3779b1) ^ (level << 11)) & (ENTRIES - 1);
