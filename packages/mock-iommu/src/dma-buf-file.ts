import type { DmaPages } from '@iommukit/core';
import {
  type DmaBuf,
  ExportedDmaBuf,
  errnoOf,
  type MappedRegion,
  type OpenFile,
  type PageSource,
  type PhysicalExtent,
} from '@iommukit/iommufd';

/** Device memory as a descriptor. The memory goes when the descriptor is closed and nothing maps it any more. */
export class MockDmaBufFile implements OpenFile {
  readonly dmaBuf: DmaBuf;
  onReadable: (() => void) | null = null;
  readonly #buffer: ExportedDmaBuf;
  readonly #pages: DmaPages;
  readonly #pa: number;
  /** The descriptor, and every mapping. */
  #users = 1;
  #open = true;

  /** `length` in bytes, whole pages. ENOMEM. */
  constructor(pages: DmaPages, length: number) {
    this.#pages = pages;
    this.#pa = pages.alloc(length);
    const buffer = new ExportedDmaBuf([{ pa: BigInt(this.#pa), length: BigInt(length) }]);
    const users = { add: () => void this.#users++, drop: () => this.#drop() };
    this.#buffer = buffer;
    this.dmaBuf = {
      size: buffer.size,
      supported: true,
      get revoked() {
        return buffer.revoked;
      },
      get source() {
        return new CountedSource(buffer.source, users);
      },
    };
  }

  /** Takes the memory back, or offers it again; either way mappings there are now are dead. */
  setRevoked(revoked: boolean): void {
    this.#buffer.setRevoked(revoked);
  }

  ioctl(): number {
    return errnoOf('ENOTTY');
  }

  read(): number {
    return errnoOf('EINVAL');
  }

  write(): number {
    return errnoOf('EINVAL');
  }

  poll(): number {
    return 0;
  }

  mmap(): MappedRegion | number {
    return errnoOf('ENODEV');
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#drop();
  }

  #drop(): void {
    if (--this.#users === 0) this.#pages.free(this.#pa);
  }
}

interface Users {
  add(): void;
  drop(): void;
}

/** A dma-buf's memory that knows how many mappings watch it. */
class CountedSource implements PageSource {
  readonly kind = 'dma-buf';
  readonly #inner: PageSource;
  readonly #users: Users;

  constructor(inner: PageSource, users: Users) {
    this.#inner = inner;
    this.#users = users;
  }

  get revoked(): boolean {
    return this.#inner.revoked ?? false;
  }

  watch(listener: () => void): () => void {
    const stop = this.#inner.watch!(listener);
    this.#users.add();
    return () => {
      stop();
      this.#users.drop();
    };
  }

  pin(offset: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[] {
    return this.#inner.pin(offset, length, writable);
  }

  unpin(): void {}

  read(): boolean {
    return false;
  }

  write(): boolean {
    return false;
  }
}
