import { ERRNO } from '@iommukit/core';
import { fileInfoFrame, newFdFrame, pagesFrame, peekFrame, pokeFrame } from '../wire/answers.ts';
import type { Channel } from '../wire/channel.ts';
import { BLOCK_LIMIT, ProtocolError } from '../wire/protocol.ts';
import { decodeExtents, decodeFileInfo, type FileInfo, type MemoryExtent } from '../wire/records.ts';
import { decodeReply, type Reply, type Request } from '../wire/requests.ts';

const ADDRESSES = 1n << 64n;
/** What a peer that left answers to everything. */
const GONE: Reply = { err: ERRNO.ESRCH, val: 0, data: Buffer.alloc(0) };

/** Memory that was read ahead. */
interface Ahead {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/**
 * One call of a program while it is served: what may be asked of the program. Each ask is answered before it returns. A
 * peer that leaves, or answers nonsense, looks like a process that is gone; {@link broken} tells why.
 */
export class Transaction {
  readonly pid: number;
  broken: ProtocolError | null = null;
  readonly #channel: Channel;
  readonly #ahead: Ahead;

  /** `aheadAt` is the address the request's prefetch was taken from. */
  constructor(channel: Channel, { pid, prefetch }: Request, aheadAt: bigint) {
    this.#channel = channel;
    this.pid = pid;
    this.#ahead = { address: aheadAt, bytes: prefetch };
  }

  /** Reads memory of a process; 0 or an errno. On EFAULT the bytes before the fault were read. */
  peek(pid: number, address: bigint, into: Uint8Array): number {
    if (address + BigInt(into.length) > ADDRESSES) return ERRNO.EFAULT;
    if (pid === this.pid && this.#fromAhead(address, into)) return 0;
    for (let done = 0; done < into.length; ) {
      const count = Math.min(BLOCK_LIMIT, into.length - done);
      const { err, val, data } = this.#ask(peekFrame(this.#name(pid), address + BigInt(done), count));
      const got = Math.min(val, data.length, count);
      into.set(data.subarray(0, got), done);
      if (err !== 0) return err;
      if (got < count) return this.#nonsense(`${got} of ${count} bytes without an error`);
      done += count;
    }
    return 0;
  }

  /** Writes memory of a process; 0 or an errno. On EFAULT the bytes before the fault were written. */
  poke(pid: number, address: bigint, bytes: Uint8Array): number {
    if (address + BigInt(bytes.length) > ADDRESSES) return ERRNO.EFAULT;
    for (let done = 0; done < bytes.length; done += BLOCK_LIMIT) {
      const part = bytes.subarray(done, done + BLOCK_LIMIT);
      const { err, val } = this.#ask(pokeFrame(this.#name(pid), address + BigInt(done), part));
      if (err !== 0) return err;
      if (val !== part.length) return this.#nonsense(`${val} of ${part.length} bytes without an error`);
    }
    if (pid === this.pid) this.#updateAhead(address, bytes);
    return 0;
  }

  /** Has the program open the file that `token` stands for. */
  newFd(flags: number, token: bigint): { readonly err: number; readonly fd: number } {
    const { err, val } = this.#ask(newFdFrame(flags, token));
    return { err, fd: val };
  }

  /** What is behind `[address, address + length)`; with EFAULT up to the first hole. */
  pages(pid: number, address: bigint, length: bigint): { readonly err: number; readonly extents: MemoryExtent[] } {
    if (address + length > ADDRESSES) return { err: ERRNO.EFAULT, extents: [] };
    const { err, val, data } = this.#ask(pagesFrame(this.#name(pid), address, length));
    return { err, extents: decodeExtents(data, val) };
  }

  /** What a descriptor of the caller is; an errno when it is nothing. */
  fileInfo(fd: number): FileInfo | number {
    const { err, data } = this.#ask(fileInfoFrame(fd));
    if (err !== 0) return err;
    return decodeFileInfo(data) ?? this.#nonsense(`a description of a file in ${data.length} bytes`);
  }

  /** 0 stands for the caller. */
  #name(pid: number): number {
    return pid === this.pid ? 0 : pid;
  }

  #ask(frame: Uint8Array): Reply {
    if (this.broken || !this.#channel.send(frame)) return GONE;
    try {
      const answer = this.#channel.receive();
      return answer ? decodeReply(answer) : GONE;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.broken = error;
      return GONE;
    }
  }

  #nonsense(what: string): number {
    this.broken ??= new ProtocolError(`a reply with ${what}`);
    return GONE.err;
  }

  #fromAhead(address: bigint, into: Uint8Array): boolean {
    const { address: start, bytes } = this.#ahead;
    const at = address - start;
    if (at < 0n || at + BigInt(into.length) > BigInt(bytes.length)) return false;
    into.set(bytes.subarray(Number(at), Number(at) + into.length));
    return true;
  }

  /** A program that reads again what was just written sees it. */
  #updateAhead(address: bigint, written: Uint8Array): void {
    const { address: start, bytes } = this.#ahead;
    const first = address > start ? address : start;
    const end = min(address + BigInt(written.length), start + BigInt(bytes.length));
    if (first >= end) return;
    const from = Number(first - address);
    bytes.set(written.subarray(from, from + Number(end - first)), Number(first - start));
  }
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
