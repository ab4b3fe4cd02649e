import { type DmaPages, ensure, IommuError, type PhysicalMemory } from '@iommukit/core';
import { IntervalTree } from '../iova/interval-tree.ts';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import { MemoryFile } from '../pages/memory-file.ts';
import { LimitedAccount } from '../pages/pin-account.ts';
import type { AccountMode, PhysicalExtent, PinAccount } from '../pages/source.ts';
import type { OpenFile } from './open-file.ts';
import type { FileTarget, UserProcess } from './process.ts';

interface Mapping {
  readonly start: bigint;
  readonly last: bigint;
  readonly pa: bigint;
  readonly writable: boolean;
}

/** Where anonymous memory starts. */
const FIRST_ADDRESS = 0x7000_0000_0000n;
const MAX_DESCRIPTORS = 1024;
const FIRST_DESCRIPTOR = 3;

/** A process inside this one: addresses that lead to simulated physical memory, descriptors, and limits. */
export class SimpleProcess implements UserProcess {
  privileged = true;
  /** Charged for pinned pages, by mode. */
  readonly accounts: Readonly<Record<AccountMode, LimitedAccount>>;
  /** Pages of its memory that are pinned, each pin counted. */
  pinnedPages = 0n;
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  readonly #mappings = new IntervalTree<Mapping>();
  readonly #files = new Map<number, OpenFile | MemoryFile | null>();
  #next = FIRST_ADDRESS;

  constructor(memory: PhysicalMemory, pages: DmaPages) {
    this.#memory = memory;
    this.#pages = pages;
    this.accounts = { user: new LimitedAccount('user'), process: new LimitedAccount('process') };
  }

  accountFor(mode: AccountMode): PinAccount {
    return this.accounts[mode];
  }

  /** Zeroed, physically contiguous memory, aligned to its size (a huge page at most); returns its address. ENOMEM. */
  alloc(bytes: number, writable = true): bigint {
    const length = (BigInt(bytes) + PAGE_SIZE - 1n) & -PAGE_SIZE;
    const align = length >= 1n << 21n ? 1n << 21n : PAGE_SIZE;
    const pa = BigInt(this.#pages.alloc(Number(length), Number(align)));
    const address = (this.#next + align - 1n) & -align;
    this.map(address, length, pa, writable);
    this.#next = address + length + PAGE_SIZE;
    return address;
  }

  /** Maps `length` bytes (whole pages) of physical memory at an address of the caller's choice. */
  map(address: bigint, length: bigint, pa: bigint, writable = true): void {
    const range = { start: address, last: address + length - 1n, pa, writable };
    ensure((address | length | pa) % PAGE_SIZE === 0n && length > 0n, 'EINVAL', 'whole pages only');
    ensure(this.#mappings.overlapping(range) === null, 'EEXIST', 'the addresses are taken');
    this.#mappings.insert(range);
  }

  /** Removes a mapping made at exactly this address. What is pinned stays pinned. */
  unmap(address: bigint): void {
    const found = this.#mappings.at(address);
    ensure(found !== null && found.start === address, 'EINVAL', 'no mapping starts there');
    this.#mappings.delete(found);
  }

  /** A descriptor for a memory file of its own. */
  memfd(size: bigint): { fd: number; file: MemoryFile } {
    const file = new MemoryFile(this.#memory, this.#pages, size);
    return { fd: this.open(file), file };
  }

  /** The lowest free descriptor; null stands for a file that is nothing to us. EMFILE. */
  open(file: OpenFile | MemoryFile | null): number {
    let fd = FIRST_DESCRIPTOR;
    while (this.#files.has(fd)) fd++;
    if (fd >= MAX_DESCRIPTORS) throw new IommuError('EMFILE', 'no descriptor is free');
    this.#files.set(fd, file);
    return fd;
  }

  /** EBADF. */
  closeFd(fd: number): void {
    const file = this.#get(fd);
    this.#files.delete(fd);
    if (file && !(file instanceof MemoryFile)) file.close();
  }

  newFile(file: OpenFile): number {
    return this.open(file);
  }

  file(fd: number): FileTarget {
    const file = this.#get(fd);
    if (file === null) return { kind: 'other' };
    return file instanceof MemoryFile ? { kind: 'memory', source: file } : { kind: 'ours', file };
  }

  read(address: bigint, bytes: Uint8Array): boolean {
    return this.#each(address, bytes, false, (pa, part) => this.#memory.readBytes(pa, part));
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    return this.#each(address, bytes, true, (pa, part) => this.#memory.writeBytes(pa, part));
  }

  pin(address: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[] {
    const extents = this.#resolve(address, length, writable);
    ensure(extents !== null, 'EFAULT', 'the memory is not there');
    this.pinnedPages += length / PAGE_SIZE;
    return extents;
  }

  unpin(extents: readonly PhysicalExtent[]): void {
    for (const { length } of extents) this.pinnedPages -= length / PAGE_SIZE;
  }

  pagesOf(address: bigint, length: bigint): readonly PhysicalExtent[] {
    const extents = this.#resolve(address, length, false);
    ensure(extents !== null, 'EFAULT', 'the memory is not there');
    return extents;
  }

  #get(fd: number): OpenFile | MemoryFile | null {
    const file = this.#files.get(fd);
    ensure(file !== undefined, 'EBADF', `descriptor ${fd} is not open`);
    return file;
  }

  #resolve(address: bigint, length: bigint, writable: boolean): PhysicalExtent[] | null {
    const out: PhysicalExtent[] = [];
    const end = address + length;
    for (let at = address; at < end; ) {
      const mapping = this.#mappings.at(at);
      if (!mapping || (writable && !mapping.writable)) return null;
      const stop = mapping.last + 1n < end ? mapping.last + 1n : end;
      out.push({ pa: mapping.pa + (at - mapping.start), length: stop - at });
      at = stop;
    }
    return out;
  }

  #each(
    address: bigint,
    bytes: Uint8Array,
    writable: boolean,
    use: (pa: bigint, part: Uint8Array) => boolean,
  ): boolean {
    const extents = this.#resolve(address, BigInt(bytes.length), writable);
    if (!extents) return false;
    let at = 0;
    for (const { pa, length } of extents) {
      if (!use(pa, bytes.subarray(at, at + Number(length)))) return false;
      at += Number(length);
    }
    return true;
  }
}
