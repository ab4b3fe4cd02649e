import { ANSWER, HEADER_BYTES } from './protocol.ts';

function frame(type: number, bodyBytes: number, dataBytes = 0): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + bodyBytes + dataBytes);
  bytes.writeUInt32LE(bodyBytes + dataBytes, 0);
  bytes.writeUInt32LE(type, 4);
  return bytes;
}

export const READY_FRAME: Uint8Array = frame(ANSWER.READY, 0);

/** `result` below 0 is `-errno`. */
export function returnFrame(result: number): Uint8Array {
  const bytes = frame(ANSWER.RETURN, 16);
  bytes.writeBigInt64LE(result < 0 ? -1n : BigInt(result), 8);
  bytes.writeUInt32LE(result < 0 ? -result : 0, 16);
  bytes.writeUInt32LE(0, 20);
  return bytes;
}

export function peekFrame(pid: number, address: bigint, count: number): Uint8Array {
  const bytes = frame(ANSWER.PEEK, 16);
  blockHead(bytes, pid, address, count);
  return bytes;
}

export function pokeFrame(pid: number, address: bigint, data: Uint8Array): Uint8Array {
  const bytes = frame(ANSWER.POKE, 16, data.length);
  blockHead(bytes, pid, address, data.length);
  bytes.set(data, HEADER_BYTES + 16);
  return bytes;
}

function blockHead(bytes: Buffer, pid: number, address: bigint, count: number): void {
  bytes.writeUInt32LE(pid, 8);
  bytes.writeUInt32LE(count, 12);
  bytes.writeBigUInt64LE(address, 16);
}

export function newFdFrame(flags: number, token: bigint): Uint8Array {
  const bytes = frame(ANSWER.NEWFD, 16);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(0, 12);
  bytes.writeBigUInt64LE(token, 16);
  return bytes;
}

export function pagesFrame(pid: number, address: bigint, length: bigint): Uint8Array {
  const bytes = frame(ANSWER.PAGES, 24);
  bytes.writeUInt32LE(pid, 8);
  bytes.writeUInt32LE(0, 12);
  bytes.writeBigUInt64LE(address, 16);
  bytes.writeBigUInt64LE(length, 24);
  return bytes;
}

export function fileInfoFrame(fd: number): Uint8Array {
  const bytes = frame(ANSWER.FILEINFO, 16);
  bytes.fill(0, 8);
  bytes.writeInt32LE(fd, 8);
  return bytes;
}
