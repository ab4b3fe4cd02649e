import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { DumpError } from './error.ts';

/** A file read at positions; nothing is kept. */
export class DumpFile {
  readonly name: string;
  readonly size: number;
  readonly #fd: number;

  constructor(name: string) {
    this.name = name;
    try {
      this.#fd = openSync(name, 'r');
    } catch (cause) {
      throw new DumpError(name, null, reasonOf(cause), { cause });
    }
    const stat = fstatSync(this.#fd);
    this.size = stat.size;
    if (stat.isFile()) return;
    closeSync(this.#fd);
    throw new DumpError(name, null, 'not a regular file');
  }

  /** Fills `bytes` from `position` on; false when the file has become shorter or cannot be read. */
  read(position: number, bytes: Uint8Array): boolean {
    try {
      for (let done = 0; done < bytes.length; ) {
        const got = readSync(this.#fd, bytes, done, bytes.length - done, position + done);
        if (got === 0) return false;
        done += got;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** A view on `length` bytes at `offset`. Throws DumpError when they are not there. */
  header(offset: number, length: number, what: string): DataView {
    const bytes = new Uint8Array(length);
    if (offset + length > this.size || !this.read(offset, bytes))
      throw new DumpError(this.name, offset, `truncated: ${what} is missing`);
    return new DataView(bytes.buffer);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such file';
  return code === 'EACCES' ? 'permission denied' : `cannot be opened (${code ?? String(error)})`;
}
