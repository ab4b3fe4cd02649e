import { bodyLimit, HEADER_BYTES, ProtocolError } from './protocol.ts';

/** One frame a client sent. `body` is valid until the next frame is taken. */
export interface Frame {
  readonly type: number;
  readonly body: Buffer;
}

const INITIAL_BYTES = 1 << 12;
/** What is free for a read at least. */
const READ_BYTES = 1 << 11;

/** Bytes of a stream on their way to frames. Grows with the longest frame, which the protocol bounds. */
export class FrameBuffer {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #start = 0;
  #end = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  push(chunk: Uint8Array): void {
    this.#makeRoom(chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Free space to read into; {@link commit} tells how much of it was used. */
  room(): Buffer {
    this.#makeRoom(Math.max(READ_BYTES, this.#missing()));
    return this.#bytes.subarray(this.#end);
  }

  commit(count: number): void {
    this.#end += count;
  }

  /** The oldest whole frame, or null. Throws {@link ProtocolError} as soon as a header cannot be right. */
  next(): Frame | null {
    if (this.length < HEADER_BYTES) return null;
    const size = this.#frameBytes();
    if (this.length < size) return null;
    const type = this.#bytes.readUInt32LE(this.#start + 4);
    const body = this.#bytes.subarray(this.#start + HEADER_BYTES, this.#start + size);
    this.#start += size;
    return { type, body };
  }

  #frameBytes(): number {
    const length = this.#bytes.readUInt32LE(this.#start);
    const type = this.#bytes.readUInt32LE(this.#start + 4);
    const limit = bodyLimit(type);
    if (limit === null) throw new ProtocolError(`a frame of unknown type 0x${type.toString(16)}`);
    if (length > limit) throw new ProtocolError(`a frame of type ${type} with ${length} bytes`);
    return HEADER_BYTES + length;
  }

  /** Bytes until the frame that has begun is whole. */
  #missing(): number {
    return this.length < HEADER_BYTES ? HEADER_BYTES : this.#frameBytes() - this.length;
  }

  #makeRoom(count: number): void {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    if (this.#end + count <= this.#bytes.length) return;
    const waiting = this.#bytes.subarray(this.#start, this.#end);
    const bytes = waiting.length + count;
    // A frame that was taken may still be looked at, so what waits moves to a buffer of its own.
    const next = Buffer.allocUnsafe(Math.max(INITIAL_BYTES, bytes > INITIAL_BYTES ? bytes * 2 : bytes));
    next.set(waiting);
    this.#bytes = next;
    this.#end = waiting.length;
    this.#start = 0;
  }
}
