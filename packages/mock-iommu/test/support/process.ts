import type { DmaPages, PhysicalMemory } from '@iommukit/core';
import { type FileTarget, MemoryFile, type PageSource, type PhysicalExtent, SimpleProcess } from '@iommukit/iommufd';
import type { PinCounts } from '../../src/index.ts';

/** A process whose pins, of memory and of memory files, are counted by page. */
export class CountedProcess extends SimpleProcess {
  readonly pins: PinCounts;
  readonly memory: PhysicalMemory;
  readonly pages: DmaPages;
  /** Its memory is gone: it exited. */
  gone = false;
  readonly #files = new Map<PageSource, PageSource>();

  constructor(memory: PhysicalMemory, pages: DmaPages, pins: PinCounts) {
    super(memory, pages);
    this.pins = pins;
    this.memory = memory;
    this.pages = pages;
  }

  override pin(address: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[] {
    const extents = super.pin(address, this.gone ? 1n << 62n : length, writable);
    this.pins.add(extents);
    return extents;
  }

  override unpin(extents: readonly PhysicalExtent[]): void {
    super.unpin(extents);
    this.pins.remove(extents);
  }

  override file(fd: number): FileTarget {
    const target = super.file(fd);
    return target.kind === 'memory' ? { kind: 'memory', source: this.#counted(target.source) } : target;
  }

  /** A memory file and where it is mapped. */
  mappedFile(size: bigint): { fd: number; file: MemoryFile; address: bigint } {
    const { fd, file } = this.memfd(size);
    const address = 0x6000_0000_0000n + BigInt(fd) * (1n << 32n);
    this.map(address, file.size, file.pa);
    return { fd, file, address };
  }

  #counted(source: PageSource): PageSource {
    const known = this.#files.get(source);
    if (known) return known;
    const counted: PageSource = {
      kind: 'file',
      pin: (offset, length, writable) => {
        const extents = source.pin(offset, length, writable);
        this.pins.add(extents);
        return extents;
      },
      unpin: (offset, length, extents) => {
        source.unpin(offset, length, extents);
        this.pins.remove(extents);
      },
      read: (offset, bytes) => source.read(offset, bytes),
      write: (offset, bytes) => source.write(offset, bytes),
    };
    this.#files.set(source, counted);
    return counted;
  }
}

export { MemoryFile };
