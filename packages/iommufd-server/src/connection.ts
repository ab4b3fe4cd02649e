import { ERRNO, isIommuError } from '@iommukit/core';
import { type MappedRegion, type OpenFile, POLL } from '@iommukit/iommufd';
import type { FileProvider } from './files/provider.ts';
import type { Host } from './process/host.ts';
import type { NamedFile } from './process/open-files.ts';
import { Transaction } from './process/transaction.ts';
import { READY_FRAME, returnFrame } from './wire/answers.ts';
import type { Channel } from './wire/channel.ts';
import { MAGIC, ProtocolError, REQUEST, VERSION } from './wire/protocol.ts';
import { decodeRequest, type Request } from './wire/requests.ts';

/** What every connection shares. */
export interface Service {
  readonly host: Host;
  readonly provider: FileProvider;
  /** For people: one line. */
  readonly log: (message: string) => void;
}

/** No more than a call moves on Linux. */
const MAX_COUNT = 0x7fff_f000n;
const U32 = 0xffff_ffffn;
const KIB_PER_PAGE = 4n;

type Handler = (connection: Connection, request: Request) => number;

/** One open file of a program: takes its calls, one at a time. */
export class Connection {
  readonly #service: Service;
  readonly #channel: Channel;
  readonly #number: number;
  #pid = 0;
  #file: OpenFile | null = null;
  #token = 0n;
  #named: NamedFile | null = null;
  #greeted = false;
  #ended = false;
  /** Between a request and its RETURN. */
  #busy = false;
  /** A READY is outstanding. */
  #announced = false;
  readonly #mapped = new Map<bigint, { readonly region: MappedRegion; readonly pid: number }>();

  constructor(service: Service, channel: Channel, number: number) {
    this.#service = service;
    this.#channel = channel;
    this.#number = number;
  }

  /** Bytes arrived. */
  data(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#channel.push(chunk);
    this.#serveAll();
  }

  /** The peer is gone, or we let it go. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#channel.silent) this.#log('closed: the program does not answer');
    this.#release();
    this.#channel.close();
  }

  #serveAll(): void {
    try {
      while (!this.#busy && !this.#ended) {
        const frame = this.#channel.poll();
        if (!frame) return;
        this.#take(decodeRequest(frame));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error.message);
    }
  }

  #take(request: Request): void {
    this.#pid = request.pid;
    if ((request.type === REQUEST.HELLO) === this.#greeted)
      throw new ProtocolError(`request ${request.type} out of order`);
    this.#busy = true;
    if (!this.#greeted && request.a1 === 0n) {
      // Programs that were killed a moment ago let go of everything before this one looks at what is left.
      setImmediate(() => {
        this.#serve(request);
        this.#serveAll();
      });
      return;
    }
    this.#serve(request);
  }

  #serve(request: Request): void {
    if (this.#ended) return;
    const { host } = this.#service;
    const transaction = new Transaction(
      this.#channel,
      request,
      request.type === REQUEST.IOCTL ? request.a1 : request.a0,
    );
    host.transaction = transaction;
    let result: number | null;
    try {
      result = this.#handle(request);
    } finally {
      host.transaction = null;
      this.#busy = false;
    }
    if (transaction.broken) this.#fail(transaction.broken.message);
    if (this.#ended) return;
    if (result !== null && !this.#channel.send(returnFrame(result))) this.end();
    this.#announced = false;
    this.#announce();
  }

  /** null: no RETURN. */
  #handle(request: Request): number | null {
    try {
      return request.type === REQUEST.HELLO ? this.#hello(request) : HANDLERS[request.type]!(this, request);
    } catch (error) {
      if (isIommuError(error)) return -error.number;
      if (error instanceof ProtocolError) {
        this.#fail(error.message);
        return null;
      }
      this.#log(`internal error: ${(error as Error)?.stack ?? error}`);
      return -ERRNO.EIO;
    }
  }

  #hello({ a0, a1, a2, a3, pid, prefetch }: Request): number | null {
    const version = Number(a0 >> 32n);
    if (Number(a0 & U32) !== MAGIC) throw new ProtocolError('not a client of ours');
    if (version !== VERSION) throw new ProtocolError(`version ${version}; this is version ${VERSION}`);
    this.#greeted = true;
    const { host, provider } = this.#service;
    if (a1 !== 0n) {
      this.#file = host.files.claim(a1);
      if (!this.#file) throw new ProtocolError('a token nobody gave out');
      this.#token = a1;
    } else {
      const path = Buffer.from(prefetch).toString().replace(/\0.*$/s, '');
      this.#file = provider.open(path === '' ? null : path, Number(a2 & U32));
      this.#named = { file: this.#file, pid, name: a3 };
      host.files.opened(this.#named);
    }
    this.#file.onReadable = () => this.#announce();
    return a1 === 0n ? 0 : null;
  }

  ioctl({ a0, a1, pid }: Request): number {
    this.#pull(pid);
    return this.#open.ioctl(Number(a0 & U32), a1, this.#service.host.caller(pid));
  }

  read({ a0, a1, pid }: Request): number {
    return this.#open.read(a0, count(a1), this.#service.host.caller(pid));
  }

  write({ a0, a1, pid }: Request): number {
    return this.#open.write(a0, count(a1), this.#service.host.caller(pid));
  }

  close(): number {
    this.#release();
    return 0;
  }

  mmap({ a0, a1, a2, a3, pid }: Request): number {
    if (this.#mapped.has(a0)) this.munmapAt(a0);
    const region = this.#open.mmap(a3, a1, Number(a2 & U32), Number(a2 >> 32n));
    if (typeof region === 'number') return region;
    if (!this.#service.host.caller(pid).write(a0, region.bytes)) {
      region.unmap();
      return -ERRNO.EFAULT;
    }
    this.#mapped.set(a0, { region, pid });
    return 0;
  }

  munmap({ a0, pid }: Request): number {
    this.#pull(pid);
    this.munmapAt(a0);
    return 0;
  }

  account({ a0, a1, pid }: Request): number {
    const { host } = this.#service;
    const { pinned, locked } = host.accountOf(Number(a0 & U32));
    const words = new Uint8Array(BigUint64Array.of(pinned * KIB_PER_PAGE, locked * KIB_PER_PAGE).buffer);
    return host.caller(pid).write(a1, words) ? 0 : -ERRNO.EFAULT;
  }

  munmapAt(address: bigint): void {
    this.#mapped.get(address)?.region.unmap();
    this.#mapped.delete(address);
  }

  get #open(): OpenFile {
    if (!this.#file) throw new ProtocolError('a call after the file was closed');
    return this.#file;
  }

  /** What the program stored in memory it mapped shows only when we look. */
  #pull(pid: number): void {
    for (const [address, { region, pid: owner }] of this.#mapped) {
      if (owner === pid) this.#service.host.caller(pid).read(address, region.bytes);
    }
  }

  #announce(): void {
    if (this.#busy || this.#announced || this.#ended || !this.#file || this.#token === 0n) return;
    if ((this.#file.poll() & POLL.IN) === 0) return;
    this.#announced = true;
    if (!this.#channel.send(READY_FRAME)) this.end();
  }

  #fail(message: string): void {
    if (this.#ended) return;
    this.#log(`closed: ${message}`);
    this.end();
  }

  #release(): void {
    const { files } = this.#service.host;
    const file = this.#file;
    this.#file = null;
    for (const address of [...this.#mapped.keys()]) this.munmapAt(address);
    if (file) {
      file.onReadable = null;
      if (this.#token !== 0n) files.release(this.#token);
      if (this.#named) files.closed(this.#named);
      file.close();
    }
  }

  #log(message: string): void {
    this.#service.log(`connection ${this.#number} (pid ${this.#pid}): ${message}`);
  }
}

const count = (wanted: bigint): number => Number(wanted < MAX_COUNT ? wanted : MAX_COUNT);

const HANDLERS: Readonly<Record<number, Handler>> = {
  [REQUEST.IOCTL]: (connection, request) => connection.ioctl(request),
  [REQUEST.READ]: (connection, request) => connection.read(request),
  [REQUEST.WRITE]: (connection, request) => connection.write(request),
  [REQUEST.CLOSE]: (connection) => connection.close(),
  [REQUEST.MMAP]: (connection, request) => connection.mmap(request),
  [REQUEST.MUNMAP]: (connection, request) => connection.munmap(request),
  [REQUEST.ACCOUNT]: (connection, request) => connection.account(request),
};
