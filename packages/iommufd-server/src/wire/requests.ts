import type { Frame } from './frames.ts';
import { PREFETCH_LIMIT, ProtocolError, REPLY_BYTES, REQUEST, REQUEST_BYTES } from './protocol.ts';

/** One call of the program. What `a0` … `a3` mean depends on the type. */
export interface Request {
  readonly type: number;
  readonly pid: number;
  readonly tid: number;
  readonly a0: bigint;
  readonly a1: bigint;
  readonly a2: bigint;
  readonly a3: bigint;
  /** What the client found readable at the call's address; an optimisation, possibly empty. */
  readonly prefetch: Uint8Array;
}

export interface Reply {
  /** 0 or an errno. */
  readonly err: number;
  readonly val: number;
  /** Valid until the next frame is taken. */
  readonly data: Buffer;
}

/** Throws {@link ProtocolError}. */
export function decodeRequest({ type, body }: Frame): Request {
  if (type === REQUEST.REPLY) throw new ProtocolError('a reply to nothing');
  if (body.length < REQUEST_BYTES) throw new ProtocolError(`a request of ${body.length} bytes`);
  return {
    type,
    pid: body.readUInt32LE(0),
    tid: body.readUInt32LE(4),
    a0: body.readBigUInt64LE(8),
    a1: body.readBigUInt64LE(16),
    a2: body.readBigUInt64LE(24),
    a3: body.readBigUInt64LE(32),
    prefetch: Uint8Array.prototype.slice.call(body, REQUEST_BYTES, REQUEST_BYTES + PREFETCH_LIMIT),
  };
}

/** Throws {@link ProtocolError}. */
export function decodeReply({ type, body }: Frame): Reply {
  if (type !== REQUEST.REPLY) throw new ProtocolError(`a request of type ${type} inside another`);
  if (body.length < REPLY_BYTES) throw new ProtocolError(`a reply of ${body.length} bytes`);
  return { err: body.readUInt32LE(0), val: body.readUInt32LE(4), data: body.subarray(REPLY_BYTES) };
}
