import { randomBytes } from 'node:crypto';
import type { OpenFile } from '@iommukit/iommufd';
import type { FileInfo } from '../wire/records.ts';

/** How long a file waits for the connection the program said it made, ms. */
const CLAIM_TIMEOUT = 20_000;

/** A file opened by path: what a program's process and shim know of it. */
export interface NamedFile {
  readonly file: OpenFile;
  readonly pid: number;
  /** A number the shim chose for it; 0 = none. */
  readonly name: bigint;
}

/** The open files of all programs, by what a program's shim calls them. */
export class OpenFiles {
  readonly #byToken = new Map<bigint, OpenFile>();
  readonly #opened = new Set<NamedFile>();
  readonly #unclaimed = new Map<bigint, { readonly timer: NodeJS.Timeout }>();

  /** Files a command made and nobody closed. */
  get size(): number {
    return this.#byToken.size;
  }

  /** A token for a file that a command makes. It is closed again when no connection comes for it. */
  offer(file: OpenFile): bigint {
    let token = 0n;
    while (token === 0n || this.#byToken.has(token)) token = randomBytes(8).readBigUInt64LE();
    const timer = setTimeout(() => this.#abandon(token, file), CLAIM_TIMEOUT).unref();
    this.#byToken.set(token, file);
    this.#unclaimed.set(token, { timer });
    return token;
  }

  /** The program did not open it; the command undoes the rest. */
  withdraw(token: bigint): void {
    this.#settle(token);
    this.#byToken.delete(token);
  }

  /** The file a new connection names; null: no such token, or its connection was here already. */
  claim(token: bigint): OpenFile | null {
    return this.#settle(token) ? this.#byToken.get(token)! : null;
  }

  /** The connection of a token is gone. */
  release(token: bigint): void {
    this.#byToken.delete(token);
  }

  /** A file was opened by path. */
  opened(named: NamedFile): void {
    this.#opened.add(named);
  }

  closed(named: NamedFile): void {
    this.#opened.delete(named);
  }

  /**
   * The file behind a descriptor that the shim knows as one of ours. Contexts have no token: they are told apart by the
   * name our own shim gives them; for another shim's, by being the only one of the process.
   */
  find({ token, ino }: FileInfo, pid: number): OpenFile | null {
    if (token !== 0n) return this.#byToken.get(token) ?? null;
    const mine = [...this.#opened].filter((each) => (ino === 0n ? each.pid === pid : each.name === ino));
    return mine.length === 1 ? mine[0]!.file : null;
  }

  #settle(token: bigint): boolean {
    const waiting = this.#unclaimed.get(token);
    if (!waiting) return false;
    clearTimeout(waiting.timer);
    return this.#unclaimed.delete(token);
  }

  #abandon(token: bigint, file: OpenFile): void {
    this.withdraw(token);
    file.close();
  }
}
