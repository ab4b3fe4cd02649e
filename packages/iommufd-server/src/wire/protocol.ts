/**
 * The wire protocol between a program's shim and this server, version 1. One connection is one open file; each call is
 * one transaction: a request, any number of asks (each with its reply), one return. Little-endian throughout.
 */

/** Low half of HELLO's first argument; the high half is the version. */
export const MAGIC = 0x44464f49;
export const VERSION = 1;

/** Client to server. */
export const REQUEST = {
  HELLO: 0x01,
  IOCTL: 0x02,
  READ: 0x03,
  WRITE: 0x04,
  CLOSE: 0x05,
  MMAP: 0x06,
  MUNMAP: 0x07,
  ACCOUNT: 0x08,
  /** Answers an ask. */
  REPLY: 0x40,
} as const;

/** Server to client. RETURN ends a transaction; READY, outside of one, makes the descriptor readable. */
export const ANSWER = {
  RETURN: 0x80,
  PEEK: 0x81,
  POKE: 0x82,
  NEWFD: 0x83,
  PAGES: 0x84,
  FILEINFO: 0x85,
  READY: 0x8f,
} as const;

/** `len u32, type u32` in front of every body. */
export const HEADER_BYTES = 8;
/** `pid, tid u32, a0 … a3 u64`; up to {@link PREFETCH_LIMIT} bytes of prefetch follow. */
export const REQUEST_BYTES = 40;
export const PREFETCH_LIMIT = 128;
/** `err, val u32` in front of a reply's data. */
export const REPLY_BYTES = 8;
/** Most bytes one PEEK or POKE moves. */
export const BLOCK_LIMIT = 1 << 20;
export const EXTENT_BYTES = 48;
export const FILE_INFO_BYTES = 40;
/** Linux gives a process at most 65530 mappings. */
const EXTENTS_LIMIT = 1 << 17;
const REPLY_LIMIT = REPLY_BYTES + EXTENTS_LIMIT * EXTENT_BYTES;

/** Longest body a client may send; null: no such type. */
export function bodyLimit(type: number): number | null {
  if (type === REQUEST.REPLY) return REPLY_LIMIT;
  return type >= REQUEST.HELLO && type <= REQUEST.ACCOUNT ? REQUEST_BYTES + PREFETCH_LIMIT : null;
}

/** A peer that does not keep to the protocol: its connection is closed with this message. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ProtocolError';
  }
}
