import { type DmaPages, IommuError, type PhysicalMemory } from '@iommukit/core';
import { toAddress } from './chunks.ts';

const PAGE = 4096;

/**
 * Zeroed, physically contiguous pages from `[start, last]`. A freed block is the first to be given out again for its
 * size, which is what a stale translation meets soonest.
 */
export class PageAllocator implements DmaPages {
  readonly #memory: Pick<PhysicalMemory, 'writeBytes'>;
  readonly #live = new Map<number, number>();
  readonly #recent = new Map<number, number[]>();
  /** Free blocks by address, disjoint, never touching. */
  #free: { start: number; end: number }[];
  #failIn: number | null = null;
  #livePages = 0;
  #zeros = new Uint8Array(PAGE);

  /** `last` is inclusive. Zeroes pages through `memory`, as a driver would. */
  constructor(memory: Pick<PhysicalMemory, 'writeBytes'>, start: bigint, last: bigint) {
    this.#memory = memory;
    const first = Math.ceil(toAddress(start) / PAGE) * PAGE;
    const end = Math.floor((toAddress(last) + 1) / PAGE) * PAGE;
    this.#free = end > first ? [{ start: first, end }] : [];
  }

  /** 4 KiB pages given out and not given back. */
  get livePages(): number {
    return this.#livePages;
  }

  /** Makes the `n`th following {@link alloc} fail with ENOMEM, once (1 = the next); null calls it off. */
  failNth(n: number | null): void {
    if (n !== null && !(Number.isInteger(n) && n >= 1)) throw new RangeError(`failNth(${n})`);
    this.#failIn = n;
  }

  alloc(bytes: number, align?: number): number {
    if (!(Number.isSafeInteger(bytes) && bytes > 0)) throw new RangeError(`alloc of ${bytes} bytes`);
    const size = Math.ceil(bytes / PAGE) * PAGE;
    const boundary = align ?? 2 ** Math.ceil(Math.log2(size));
    if (!(boundary >= 1 && Number.isInteger(Math.log2(boundary)))) throw new RangeError(`alignment ${boundary}`);
    if (this.#failIn !== null && --this.#failIn === 0) {
      this.#failIn = null;
      throw new IommuError('ENOMEM', 'page allocation failed on request');
    }
    const pa = this.#take(size, Math.max(boundary, PAGE));
    if (pa === null) throw new IommuError('ENOMEM', `no ${size} bytes of memory left`);
    if (size > this.#zeros.length) this.#zeros = new Uint8Array(size);
    if (!this.#memory.writeBytes(BigInt(pa), this.#zeros.subarray(0, size))) {
      this.#giveBack(pa, size);
      throw new IommuError('ENOMEM', `memory at 0x${pa.toString(16)} does not answer`);
    }
    this.#live.set(pa, size);
    this.#livePages += size / PAGE;
    return pa;
  }

  free(pa: number): void {
    const size = this.#live.get(pa);
    if (size === undefined) throw new Error(`free of 0x${pa.toString(16)}, which is not allocated`);
    this.#live.delete(pa);
    this.#livePages -= size / PAGE;
    this.#giveBack(pa, size);
  }

  #giveBack(pa: number, size: number): void {
    const recent = this.#recent.get(size);
    if (recent) recent.push(pa);
    else this.#recent.set(size, [pa]);
  }

  #take(size: number, align: number): number | null {
    const recent = this.#recent.get(size);
    if (recent !== undefined && recent.length > 0 && recent[recent.length - 1]! % align === 0) return recent.pop()!;
    const pa = this.#carve(size, align);
    if (pa !== null || this.#recent.size === 0) return pa;
    this.#coalesce();
    return this.#carve(size, align);
  }

  /** First fit. */
  #carve(size: number, align: number): number | null {
    for (let i = 0; i < this.#free.length; i++) {
      const { start, end } = this.#free[i]!;
      const pa = Math.ceil(start / align) * align;
      if (pa + size > end) continue;
      const rest = [
        { start, end: pa },
        { start: pa + size, end },
      ].filter((block) => block.start < block.end);
      this.#free.splice(i, 1, ...rest);
      return pa;
    }
    return null;
  }

  #coalesce(): void {
    const blocks = [...this.#free];
    for (const [size, list] of this.#recent) for (const start of list) blocks.push({ start, end: start + size });
    this.#recent.clear();
    this.#free = [];
    for (const block of blocks.sort((a, b) => a.start - b.start)) {
      const before = this.#free[this.#free.length - 1];
      if (before?.end === block.start) before.end = block.end;
      else this.#free.push({ ...block });
    }
  }
}
