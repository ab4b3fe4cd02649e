import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export interface Returned {
  readonly ret: number;
  readonly err: number;
  /** Asks the server made on the way, in order. */
  readonly asks: readonly string[];
}

/** Memory of the program. `prot` as on the wire: 1 read, 2 write, 8 shared. */
export interface Region {
  readonly start: bigint;
  readonly bytes: Uint8Array;
  readonly prot: number;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly offset: bigint;
}

export const region = (start: bigint, bytes: Uint8Array, more: Partial<Region> = {}): Region => ({
  start,
  bytes,
  prot: 3,
  dev: 0n,
  ino: 0n,
  offset: 0n,
  ...more,
});

/** Bytes both threads see. */
export const sharedBytes = (length: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(length));

interface Message {
  readonly id: string;
  readonly event: 'return' | 'ready' | 'closed';
}

/** A program with a shim, as the server meets it; it runs in a thread of its own. */
export class Program {
  readonly pid: number;
  readonly #worker: Worker;
  readonly #messages: Message[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(path: string, pid = 1000) {
    this.pid = pid;
    this.#worker = new Worker(new URL('./program-worker.mjs', import.meta.url), { workerData: { path, pid } });
    this.#worker.on('message', (message: Message) => {
      this.#messages.push(message);
      for (const wake of [...this.#waiting]) wake();
    });
  }

  async ready(): Promise<this> {
    await once(this.#worker, 'online');
    return this;
  }

  set(state: Record<string, unknown>): void {
    this.#worker.postMessage({ set: state });
  }

  /** A connection that has said nothing yet. */
  connect(id: string): void {
    this.#worker.postMessage({ open: id });
  }

  /** open("/dev/iommu") */
  async open(id = 'iommu', name = 0n): Promise<Returned> {
    this.connect(id);
    return this.call(id, 1, [0x1_4446_4f49n, 0n, 2n, name]);
  }

  send(id: string, bytes: Uint8Array): void {
    this.#worker.postMessage({ send: id, bytes });
  }

  /** A connection that says just this and ends; resolves when it is closed. */
  async sayOnly(id: string, bytes: Uint8Array): Promise<void> {
    this.#worker.postMessage({ only: id, bytes });
    await this.next(id, 'closed');
  }

  /** One transaction. */
  async call(
    id: string,
    type: number,
    args: readonly bigint[],
    prefetch: Uint8Array = new Uint8Array(),
  ): Promise<Returned> {
    this.send(id, requestBytes(this.pid, type, args, prefetch));
    return (await this.next(id, 'return')) as unknown as Returned;
  }

  /** ioctl on a structure at an address, without prefetch. */
  ioctl(command: number, address: bigint, id = 'iommu'): Promise<Returned> {
    return this.call(id, 2, [BigInt(command), address]);
  }

  /** The next event of that kind on a connection; `closed` also ends a wait for a return. */
  async next(id: string, event: Message['event']): Promise<Message> {
    for (;;) {
      const at = this.#messages.findIndex((message) => message.id === id && message.event === event);
      if (at >= 0) return this.#messages.splice(at, 1)[0]!;
      const closed = this.#messages.some((message) => message.id === id && message.event === 'closed');
      if (closed) throw new Error(`connection ${id} was closed`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  seen(id: string, event: Message['event']): boolean {
    return this.#messages.some((message) => message.id === id && message.event === event);
  }

  /** The connection ends without a goodbye. */
  drop(id: string): void {
    this.#worker.postMessage({ end: id });
  }

  async kill(): Promise<void> {
    await this.#worker.terminate();
  }
}

export function requestBytes(
  pid: number,
  type: number,
  args: readonly bigint[],
  prefetch: Uint8Array = new Uint8Array(),
): Buffer {
  const bytes = Buffer.alloc(48);
  for (const [i, value] of [40 + prefetch.length, type, pid, pid].entries()) bytes.writeUInt32LE(value, i * 4);
  for (const [i, value] of args.entries()) bytes.writeBigUInt64LE(value, 16 + i * 8);
  return Buffer.concat([bytes, prefetch]);
}
