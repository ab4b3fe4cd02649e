import { ensure, isIommuError } from '@iommukit/core';
import {
  Access,
  errnoOf,
  type IommufdContext,
  type MappedRegion,
  type OpenFile,
  type Pin,
  type UserProcess,
} from '@iommukit/iommufd';

/** An emulated device as a descriptor: closing it drops its pins and the access. */
export class MockAccessFile implements OpenFile {
  readonly access: Access;
  onReadable: (() => void) | null = null;
  readonly #items = new Map<number, Pin>();
  #nextItem = 0;
  #open = true;

  /** Keeps the context alive until it is closed. */
  constructor(context: IommufdContext, needsPins: boolean) {
    const unmap = (iova: bigint, length: bigint): void => this.#unmap(iova, length);
    this.access = Access.create(context, { needsPins, unmap });
    context.hold();
  }

  /** EBADFD: not open, or something else. */
  static of(user: UserProcess, fd: number): MockAccessFile {
    const file = openFile(user, fd);
    ensure(file instanceof MockAccessFile, 'EBADFD', `descriptor ${fd} is no access`);
    return file;
  }

  /** Remembers a pin; numbers count up from 0. */
  addItem(pin: Pin): number {
    const item = this.#nextItem++;
    this.#items.set(item, pin);
    return item;
  }

  /** Unpins. ENOENT: no such item any more. */
  removeItem(item: number): void {
    const pin = this.#items.get(item);
    ensure(pin !== undefined, 'ENOENT', `no item ${item}`);
    this.#items.delete(item);
    this.access.unpin(pin);
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
    const { context } = this.access;
    for (const item of [...this.#items.keys()]) this.removeItem(item);
    this.access.destroy();
    context.drop();
  }

  #unmap(iova: bigint, length: bigint): void {
    for (const [item, pin] of [...this.#items]) {
      const apart = iova > pin.iova + pin.length - 1n || iova + length - 1n < pin.iova;
      if (!apart) this.removeItem(item);
    }
  }
}

/** The file of ours behind a descriptor; null for anything else. */
export function openFile(user: UserProcess, fd: number): OpenFile | null {
  try {
    const target = user.file(fd);
    return target.kind === 'ours' ? target.file : null;
  } catch (error) {
    if (isIommuError(error) && error.errno === 'EBADF') return null;
    throw error;
  }
}
