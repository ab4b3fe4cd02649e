import { ensure } from '@iommukit/core';
import type { RecordStream } from '../objects/stream.ts';
import { errnoOf, guard } from './errno.ts';
import { type MappedRegion, type OpenFile, POLL } from './open-file.ts';
import type { UserProcess } from './process.ts';

/** Most bytes one read or write moves: what Linux moves at most in one call. */
const MAX_TRANSFER = 0x7fff_f000;

/** A queue's descriptor: whole records by read, answers by write where the queue takes them. Never blocks. */
export class StreamFile implements OpenFile {
  readonly stream: RecordStream;
  #open = true;

  constructor(stream: RecordStream) {
    this.stream = stream;
  }

  get onReadable(): (() => void) | null {
    return this.stream.onReadable;
  }

  set onReadable(listener: (() => void) | null) {
    this.stream.onReadable = listener;
  }

  ioctl(): number {
    return errnoOf('ENOTTY');
  }

  /** Bytes read; ESPIPE, EINVAL as the queue says; EFAULT: what was taken is put back. */
  read(address: bigint, count: number, user: UserProcess, offset = 0n): number {
    return guard(() => {
      ensure(offset === 0n, 'ESPIPE', 'the file has no positions');
      const bytes = this.stream.read(Math.min(count, MAX_TRANSFER));
      if (bytes.length === 0 || user.write(address, bytes)) return bytes.length;
      this.stream.unread(bytes);
      ensure(false, 'EFAULT', 'the buffer cannot be written');
    });
  }

  /** Bytes of whole answers taken; the error only when it was the first that failed. */
  write(address: bigint, count: number, user: UserProcess, offset = 0n): number {
    return guard(() => {
      const { write, responseBytes = 1 } = this.stream;
      ensure(write !== undefined, 'EINVAL', 'the file is read-only');
      ensure(offset === 0n && count % responseBytes === 0, 'ESPIPE', 'no positions, and whole records only');
      let done = 0;
      for (; done < count; done += responseBytes) {
        const taken = this.#take(address + BigInt(done), responseBytes, user);
        if (taken < 0) return done > 0 ? done : taken;
      }
      return done;
    });
  }

  poll(): number {
    return (this.stream.readable ? POLL.IN : 0) | (this.stream.write ? POLL.OUT : 0);
  }

  mmap(): MappedRegion | number {
    return errnoOf('ENODEV');
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.stream.close();
  }

  #take(address: bigint, size: number, user: UserProcess): number {
    const record = new Uint8Array(size);
    return guard(() => {
      ensure(user.read(address, record), 'EFAULT', 'the answer cannot be read');
      return this.stream.write!(record);
    });
  }
}
