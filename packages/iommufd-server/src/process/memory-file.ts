import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { ensure } from '@iommukit/core';
import type { PageSource, PhysicalExtent } from '@iommukit/iommufd';
import { fileObject } from '../memory/identity.ts';
import type { PinLedger } from '../memory/pin-ledger.ts';
import type { Windows } from '../memory/windows.ts';

/** Which file it is, as the program's shim tells. */
export interface MemoryFileId {
  /** major << 32 | minor. */
  readonly dev: bigint;
  readonly ino: bigint;
}

/** Descriptors of files that nobody maps any more. */
const forgotten = new FinalizationRegistry<number>((fd) => closeSync(fd));

/**
 * A program's memory file. It is held open by a descriptor of our own where the platform lets us, so that its size and
 * its bytes are seen as they are now; without one, its size is what `lastSize` knows and its bytes cannot be had.
 */
export class ClientMemoryFile implements PageSource {
  readonly kind = 'file';
  readonly #object: string;
  readonly #fd: number | null;
  readonly #lastSize: () => bigint;
  readonly #windows: Windows;
  readonly #pins: PinLedger;

  /** `path` leads to the file, probably. */
  constructor(
    id: MemoryFileId,
    path: string,
    lastSize: () => bigint,
    memory: { readonly windows: Windows; readonly pins: PinLedger },
  ) {
    this.#object = fileObject(id.dev, id.ino);
    this.#lastSize = lastSize;
    this.#windows = memory.windows;
    this.#pins = memory.pins;
    this.#fd = openSame(path, id);
    if (this.#fd !== null) forgotten.register(this, this.#fd);
  }

  get size(): bigint {
    return this.#fd === null ? this.#lastSize() : fstatSync(this.#fd, { bigint: true }).size;
  }

  pin(offset: bigint, length: bigint): readonly PhysicalExtent[] {
    ensure(offset + length <= this.size, 'EINVAL', 'the range ends past the file');
    const extents = this.#windows.place([{ object: this.#object, offset, length }]);
    this.#pins.add(extents);
    return extents;
  }

  unpin(_offset: bigint, _length: bigint, extents: readonly PhysicalExtent[]): void {
    this.#pins.remove(extents);
  }

  read(offset: bigint, bytes: Uint8Array): boolean {
    const fd = this.#fd;
    return fd !== null && this.#inside(offset, bytes) && readSync(fd, bytes, 0, bytes.length, offset) === bytes.length;
  }

  write(offset: bigint, bytes: Uint8Array): boolean {
    const fd = this.#fd;
    if (fd === null || !this.#inside(offset, bytes)) return false;
    return writeSync(fd, bytes, 0, bytes.length, Number(offset)) === bytes.length;
  }

  #inside(offset: bigint, bytes: Uint8Array): boolean {
    return offset + BigInt(bytes.length) <= this.size;
  }
}

/** A descriptor of exactly that file, or null: the process may be out of sight, or its number taken by another. */
function openSame(path: string, { dev, ino }: MemoryFileId): number | null {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch {
    return null;
  }
  const stat = fstatSync(fd, { bigint: true });
  if (stat.ino === ino && deviceNumber(stat.dev) === dev) return fd;
  closeSync(fd);
  return null;
}

/** `st_dev` as the protocol has it; Linux keeps both numbers in pieces. */
function deviceNumber(dev: bigint): bigint {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n);
  return (major << 32n) | minor;
}
