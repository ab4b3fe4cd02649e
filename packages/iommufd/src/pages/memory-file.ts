import { type DmaPages, ensure, type PhysicalMemory } from '@iommukit/core';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import { sliceExtents } from './dma-buf.ts';
import type { PageSource, PhysicalExtent } from './source.ts';

/** A memory file (memfd) in simulated memory: contiguous whole pages that may be truncated. */
export class MemoryFile implements PageSource {
  readonly kind = 'file';
  /** Physical address of byte 0. */
  readonly pa: bigint;
  /** Pages pinned now. */
  pinnedPages = 0n;
  readonly #memory: PhysicalMemory;
  #size: bigint;

  /** `size` in bytes, rounded up to pages. ENOMEM. */
  constructor(memory: PhysicalMemory, pages: DmaPages, size: bigint) {
    this.#memory = memory;
    this.#size = (size + PAGE_SIZE - 1n) & -PAGE_SIZE;
    this.pa = BigInt(pages.alloc(Number(this.#size)));
  }

  get size(): bigint {
    return this.#size;
  }

  /** Makes the file shorter; its memory is not given back. */
  truncate(size: bigint): void {
    if (size < this.#size) this.#size = size;
  }

  pin(offset: bigint, length: bigint): readonly PhysicalExtent[] {
    ensure(offset + length <= this.#size, 'EINVAL', 'the range ends past the file');
    this.pinnedPages += length / PAGE_SIZE;
    return sliceExtents([{ pa: this.pa, length: this.#size }], offset, length);
  }

  unpin(_offset: bigint, length: bigint): void {
    this.pinnedPages -= length / PAGE_SIZE;
  }

  read(offset: bigint, bytes: Uint8Array): boolean {
    return offset + BigInt(bytes.length) <= this.#size && this.#memory.readBytes(this.pa + offset, bytes);
  }

  write(offset: bigint, bytes: Uint8Array): boolean {
    return offset + BigInt(bytes.length) <= this.#size && this.#memory.writeBytes(this.pa + offset, bytes);
  }
}
