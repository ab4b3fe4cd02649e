import { rmSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { Connection, type Service } from './connection.ts';
import { Channel } from './wire/channel.ts';

export interface ServerOptions extends Service {
  /** How long one program may keep all others waiting before it is dropped, ms. Default 10 s. */
  readonly timeout?: number;
}

const DEFAULT_TIMEOUT = 10_000;

/** Serves programs on a local socket, strictly one call at a time, in the event loop of this thread. */
export class IommufdServer {
  readonly #service: Service;
  readonly #timeout: number;
  readonly #server: Server;
  readonly #connections = new Map<Socket, Connection>();
  #count = 0;

  constructor({ timeout = DEFAULT_TIMEOUT, ...service }: ServerOptions) {
    this.#service = service;
    this.#timeout = timeout;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#connections.size;
  }

  /** A socket that nobody listens on any more is replaced. Rejects as `listen` fails. */
  async listen(path: string): Promise<void> {
    await removeStale(path);
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#service.log(`cannot accept: ${error.message}`));
        resolve();
      });
    });
  }

  /** Drops every connection; their files are closed. */
  async close(): Promise<void> {
    for (const connection of [...this.#connections.values()]) connection.end();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const connection = new Connection(this.#service, new Channel(socket, this.#timeout), ++this.#count);
    this.#connections.set(socket, connection);
    socket.on('data', (chunk) => connection.data(chunk));
    socket.on('end', () => connection.end());
    socket.on('error', () => connection.end());
    socket.on('close', () => {
      connection.end();
      this.#connections.delete(socket);
    });
  }
}

/** Leaves alone what is no socket, or what somebody answers on: `listen` says what is wrong then. */
async function removeStale(path: string): Promise<void> {
  if (!statSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const { connect } = await import('node:net');
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.on('error', () => resolve(false));
    probe.on('connect', () => probe.destroy());
  });
  if (!answered) rmSync(path, { force: true });
}
