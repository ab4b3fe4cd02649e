import { readSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type Frame, FrameBuffer } from './frames.ts';

/** Tries before the reader starts to sleep: enough for a program to look through its own memory map. */
const SPINS = 64;
const SHORTEST_SLEEP_MS = 0.02;
const LONGEST_SLEEP_MS = 2;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/**
 * The bytes of one connection. Requests come from the event loop; the answer to an ask is waited for right here, by
 * plain reads of the same descriptor, because the caller of a command needs it before the command can go on. Nothing
 * else runs meanwhile, so the two ways of reading cannot meet.
 */
export class Channel {
  readonly #socket: Socket;
  readonly #frames = new FrameBuffer();
  readonly #fd: number;
  /** How long a peer may keep everybody waiting, ms. */
  readonly #timeout: number;
  #broken = false;
  #silent = false;

  constructor(socket: Socket, timeout: number) {
    this.#socket = socket;
    this.#timeout = timeout;
    this.#fd = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
  }

  /** False once nothing can be sent any more. */
  get alive(): boolean {
    return !this.#broken && !this.#socket.destroyed;
  }

  /** It was given up because the peer kept everybody waiting. */
  get silent(): boolean {
    return this.#silent;
  }

  /** Bytes the event loop read. */
  push(chunk: Uint8Array): void {
    this.#frames.push(chunk);
  }

  /** A whole frame that has arrived, or null. Throws ProtocolError. */
  poll(): Frame | null {
    return this.#frames.next();
  }

  /** Sends all of it. False: the peer is gone, or did not take it in time. */
  send(bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length; ) {
      const count = this.#retry(() => writeSync(this.#fd, bytes, done));
      if (count <= 0) return false;
      done += count;
    }
    return true;
  }

  /** The next frame, waited for. null: the peer is gone, or said nothing in time. Throws ProtocolError. */
  receive(): Frame | null {
    for (;;) {
      const frame = this.#frames.next();
      if (frame) return frame;
      const room = this.#frames.room();
      const count = this.#retry(() => readSync(this.#fd, room, 0, room.length, null));
      if (count <= 0) return null;
      this.#frames.commit(count);
    }
  }

  close(): void {
    this.#broken = true;
    this.#socket.destroy();
  }

  /** Repeats a read or write that would block. 0: never came through; the channel is broken then. */
  #retry(attempt: () => number): number {
    let deadline = 0;
    let sleep = SHORTEST_SLEEP_MS;
    for (let tries = 0; this.alive; tries++) {
      const count = tryOnce(attempt);
      if (count > 0) return count;
      if (count === 0) break;
      if (tries < SPINS) continue;
      deadline ||= performance.now() + this.#timeout;
      this.#silent = performance.now() > deadline;
      if (this.#silent) break;
      Atomics.wait(sleeper, 0, 0, sleep);
      sleep = Math.min(sleep * 1.5, LONGEST_SLEEP_MS);
    }
    this.#broken = true;
    return 0;
  }
}

/** Bytes moved; 0: the peer is gone; -1: would block. */
function tryOnce(attempt: () => number): number {
  // An error that says "try again" is half of all results here; its stack is not worth collecting.
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return attempt();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EAGAIN' || code === 'EINTR' ? -1 : 0;
  } finally {
    Error.stackTraceLimit = limit;
  }
}
