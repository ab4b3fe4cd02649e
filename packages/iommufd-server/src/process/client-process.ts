import { ERRNO, type Errno, ensure, IommuError } from '@iommukit/core';
import {
  type AccountMode,
  type FileTarget,
  LimitedAccount,
  type OpenFile,
  type PhysicalExtent,
  type PinAccount,
  type UserProcess,
} from '@iommukit/iommufd';
import { identityOf } from '../memory/identity.ts';
import { FILE_KIND, type FileInfo, type MemoryExtent, PROT } from '../wire/records.ts';
import type { Host } from './host.ts';
import { ClientMemoryFile } from './memory-file.ts';
import type { Transaction } from './transaction.ts';

const PAGE = 4096n;

/**
 * A process at the other end of the wire. Its memory can be reached whenever any program is being served: that program
 * reaches it for us. When it is gone, its memory faults, except where the program that is served has the same page at
 * the same address (it was forked from the same parent).
 */
export class ClientProcess implements UserProcess {
  /** Nothing here can harm the machine we run on. */
  readonly privileged = true;
  readonly pid: number;
  readonly accounts: Readonly<Record<AccountMode, LimitedAccount>> = {
    user: new LimitedAccount('user'),
    process: new LimitedAccount('process'),
  };
  /** It was not there any more when its memory was wanted. */
  gone = false;
  readonly #host: Host;

  constructor(host: Host, pid: number) {
    this.#host = host;
    this.pid = pid;
  }

  /** No page is charged to it. */
  get idle(): boolean {
    return this.accounts.user.pages === 0n && this.accounts.process.pages === 0n;
  }

  accountFor(mode: AccountMode): PinAccount {
    return this.accounts[mode];
  }

  read(address: bigint, bytes: Uint8Array): boolean {
    return this.#transfer(address, BigInt(bytes.length), PROT.READ, (by, pid) => by.peek(pid, address, bytes));
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    return this.#transfer(address, BigInt(bytes.length), PROT.WRITE, (by, pid) => by.poke(pid, address, bytes));
  }

  pin(address: bigint, length: bigint, writable: boolean): readonly PhysicalExtent[] {
    const extents = this.#resolve(address, length, writable ? PROT.READ | PROT.WRITE : PROT.READ);
    this.#host.pins.add(extents);
    return extents;
  }

  unpin(extents: readonly PhysicalExtent[]): void {
    this.#host.pins.remove(extents);
  }

  pagesOf(address: bigint, length: bigint): readonly PhysicalExtent[] {
    return this.#resolve(address, length, PROT.READ);
  }

  newFile(file: OpenFile, flags: number): number {
    const { transaction, files } = this.#host;
    ensure(transaction !== null, 'ESRCH', 'no program is being served');
    const token = files.offer(file);
    const { err, fd } = transaction.newFd(flags, token);
    if (err === 0) return fd;
    files.withdraw(token);
    throw new IommuError(errnoNamed(err, 'EMFILE'), 'the program cannot open another file');
  }

  file(fd: number): FileTarget {
    const { transaction } = this.#host;
    ensure(transaction !== null, 'ESRCH', 'no program is being served');
    const info = transaction.fileInfo(fd);
    if (typeof info === 'number') throw new IommuError(errnoNamed(info, 'EBADF'), `descriptor ${fd} is not open`);
    if (info.kind === FILE_KIND.MEMORY) return { kind: 'memory', source: this.#memoryFile(fd, info) };
    const file = info.kind === FILE_KIND.OURS ? this.#host.files.find(info, transaction.pid) : null;
    return file ? { kind: 'ours', file } : { kind: 'other' };
  }

  #memoryFile(fd: number, { dev, ino, size }: FileInfo): ClientMemoryFile {
    const lastSize = (): bigint => {
      const { transaction } = this.#host;
      const now = transaction?.pid === this.pid ? transaction.fileInfo(fd) : ERRNO.EBADF;
      return typeof now !== 'number' && now.dev === dev && now.ino === ino ? now.size : size;
    };
    return new ClientMemoryFile({ dev, ino }, `/proc/${this.pid}/fd/${fd}`, lastSize, this.#host);
  }

  #transfer(address: bigint, length: bigint, prot: number, use: (by: Transaction, pid: number) => number): boolean {
    const by = this.#host.transaction;
    if (!by) return false;
    const err = this.gone ? ERRNO.ESRCH : use(by, this.pid);
    if (err !== ERRNO.ESRCH || by.pid === this.pid) return err === 0;
    this.gone = true;
    return this.#sharedWith(by, address, length, prot) && use(by, by.pid) === 0;
  }

  /** The caller's memory at these addresses is shared, and somebody has it pinned: it is the page we mean. */
  #sharedWith(by: Transaction, address: bigint, length: bigint, prot: number): boolean {
    const first = address & -PAGE;
    const { err, extents } = by.pages(by.pid, first, ((address + length + PAGE - 1n) & -PAGE) - first);
    const wanted = prot | PROT.SHARED;
    if (err !== 0 || extents.some((extent) => (extent.prot & wanted) !== wanted)) return false;
    const { windows, pins } = this.#host;
    const placed = windows.place(extents.map((extent) => identityOf(by.pid, extent)));
    return placed.every(({ pa }) => pins.at(pa) > 0);
  }

  #resolve(address: bigint, length: bigint, prot: number): PhysicalExtent[] {
    const { transaction, windows } = this.#host;
    ensure(transaction !== null, 'EFAULT', 'the memory cannot be reached now');
    const { err, extents } = transaction.pages(this.pid, address, length);
    ensure(err === 0 && covers(extents, address, length), 'EFAULT', 'the memory is not there');
    const allowed = extents.every((extent) => (extent.prot & prot) === prot);
    ensure(allowed, 'EFAULT', 'the memory does not allow it');
    return windows.place(extents.map((extent) => identityOf(this.pid, extent)));
  }
}

/** What a client says need not be true. */
function covers(extents: readonly MemoryExtent[], address: bigint, length: bigint): boolean {
  let next = address;
  for (const extent of extents) {
    if (extent.address !== next || extent.length <= 0n || extent.length > address + length - next) return false;
    if (((extent.length | extent.offset) & (PAGE - 1n)) !== 0n && (extent.prot & PROT.SHARED) !== 0) return false;
    next += extent.length;
  }
  return next === address + length;
}

function errnoNamed(number: number, otherwise: Errno): Errno {
  const found = Object.entries(ERRNO).find(([, value]) => value === number);
  return (found?.[0] as Errno | undefined) ?? otherwise;
}
