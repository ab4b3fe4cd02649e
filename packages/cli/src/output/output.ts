import type { Writable } from 'node:stream';
import { UsageError } from '../usage-error.ts';

/** The two streams a command writes to. Results go to `stdout`, everything else to `stderr`. */
export interface CliIo {
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/** Thrown when the reader of stdout went away (`| head`): the command ends quietly. */
export class OutputClosed extends Error {}

const CHUNK = 1 << 16;

/** Results on their way to stdout: gathers lines into chunks and waits when the reader is slow. */
export class Output {
  readonly #stream: Writable;
  #pending: string[] = [];
  #length = 0;
  #error: Error | null = null;
  readonly #onError = (error: Error) => {
    this.#error ??= error;
  };

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on('error', this.#onError);
  }

  /** Takes one line. Await the result when there is one: the chunk is full and the reader must catch up. */
  line(text: string): Promise<void> | undefined {
    this.#pending.push(text, '\n');
    this.#length += text.length + 1;
    return this.#length >= CHUNK ? this.flush() : undefined;
  }

  async flush(): Promise<void> {
    if (this.#length === 0) return;
    const text = this.#pending.join('');
    this.#pending = [];
    this.#length = 0;
    await this.#write(text);
  }

  /** Everything is out, or the error that kept it from going out is thrown. */
  async end(): Promise<void> {
    await this.flush();
    await this.#write('');
    this.#stream.off('error', this.#onError);
  }

  async #write(text: string): Promise<void> {
    this.#check();
    await new Promise<void>((resolve) => {
      this.#stream.write(text, (error) => {
        if (error) this.#onError(error);
        resolve();
      });
    });
    this.#check();
  }

  #check(): void {
    if (this.#error === null && !this.#stream.destroyed) return;
    const code = (this.#error as NodeJS.ErrnoException | null)?.code;
    if (this.#error === null || code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') throw new OutputClosed();
    throw new UsageError(`the result cannot be written: ${this.#error.message}`);
  }
}
