import type { PhysicalMemory } from '@iommukit/core';
import { DESCRIPTOR, DESCRIPTOR_FLAG } from '../format/ring.ts';
import { carry } from './address.ts';

/** Lengths are clamped here, so that sums stay small integers; no request needs a fraction of it. */
const MAX_BYTES = 0x1000_0000;

const { NEXT, WRITE, INDIRECT } = DESCRIPTOR_FLAG;

/**
 * One descriptor chain, taken from memory and checked: no more links than the queue has entries (so loops end),
 * readable before writable, indirect tables only where negotiated and never nested. Virtio 1.3 §2.7.5.
 * Reused for every request.
 */
export class Chain {
  /** Bytes before and after the readable/writable border. */
  readableBytes = 0;
  writableBytes = 0;
  private readonly memory: PhysicalMemory;
  private readonly segHi: Int32Array;
  private readonly segLo: Int32Array;
  private readonly segLen: Int32Array;
  private readonly descriptor = new Int32Array(DESCRIPTOR.BYTES / 4);
  private segments = 0;
  /** Index of the first writable segment. */
  private border = 0;

  constructor(memory: PhysicalMemory, capacity: number) {
    this.memory = memory;
    this.segHi = new Int32Array(capacity);
    this.segLo = new Int32Array(capacity);
    this.segLen = new Int32Array(capacity);
  }

  /** Follows the chain from `head` in the table at (hi, lo) of `size` entries. False: the driver broke a rule. */
  load(tableHi: number, tableLo: number, size: number, head: number, indirectAllowed: boolean): boolean {
    this.segments = 0;
    this.border = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
    return this.follow(tableHi, tableLo, size, head, size, indirectAllowed);
  }

  private follow(hi: number, lo: number, entries: number, first: number, limit: number, indirect: boolean): boolean {
    const { descriptor } = this;
    for (let index = first; index < entries; ) {
      const at = (lo + index * DESCRIPTOR.BYTES) | 0;
      if (!this.readSegment((hi + carry(at, lo)) | 0, at, DESCRIPTOR.BYTES, descriptor, 0)) return false;
      const length = descriptor[2]!;
      const flags = descriptor[3]! & 0xffff;
      if ((flags & INDIRECT) !== 0) {
        if (!indirect || (flags & NEXT) !== 0 || length === 0 || length % DESCRIPTOR.BYTES !== 0) return false;
        const inner = (length >>> 0) / DESCRIPTOR.BYTES;
        return this.follow(descriptor[1]!, descriptor[0]!, inner, 0, limit, false);
      }
      if (!this.add(descriptor[1]!, descriptor[0]!, length, (flags & WRITE) !== 0, limit)) return false;
      if ((flags & NEXT) === 0) return true;
      index = descriptor[3]! >>> 16;
    }
    return false;
  }

  private add(hi: number, lo: number, length: number, writable: boolean, limit: number): boolean {
    if (this.segments === limit) return false;
    const bytes = length < 0 || length > MAX_BYTES ? MAX_BYTES : length;
    if (writable) this.writableBytes = Math.min(this.writableBytes + bytes, MAX_BYTES);
    else {
      if (this.border !== this.segments) return false;
      this.readableBytes = Math.min(this.readableBytes + bytes, MAX_BYTES);
      this.border++;
    }
    this.segHi[this.segments] = hi;
    this.segLo[this.segments] = lo;
    this.segLen[this.segments++] = bytes;
    return true;
  }

  /** Copies the first `bytes` readable bytes (there are as many) to `words`. False: an address does not answer. */
  read(words: Int32Array, bytes: number): boolean {
    let done = 0;
    for (let i = 0; i < this.border && done < bytes; i++) {
      const length = Math.min(this.segLen[i]!, bytes - done);
      if (!this.readSegment(this.segHi[i]!, this.segLo[i]!, length, words, done)) return false;
      done += length;
    }
    return true;
  }

  /** Writes `bytes` bytes of `words` at `offset` of the writable part, which holds them. False: no answer. */
  write(offset: number, words: Int32Array, bytes: number): boolean {
    let skip = offset;
    let done = 0;
    for (let i = this.border; i < this.segments && done < bytes; i++) {
      const length = this.segLen[i]!;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const part = Math.min(length - skip, bytes - done);
      const lo = (this.segLo[i]! + skip) | 0;
      const hi = (this.segHi[i]! + carry(lo, this.segLo[i]!)) | 0;
      if (!this.writeSegment(hi, lo, part, words, done)) return false;
      done += part;
      skip = 0;
    }
    return true;
  }

  private readSegment(hi: number, lo: number, length: number, words: Int32Array, done: number): boolean {
    const aligned = ((lo | done) & 3) === 0;
    for (let i = 0; i < length; ) {
      const at = (lo + i) | 0;
      if (!this.memory.read32((hi + carry(at, lo)) | 0, at & ~3)) return false;
      if (aligned && length - i >= 4) {
        words[(done + i) >> 2] = this.memory.lo;
        i += 4;
      } else {
        putByte(words, done + i, this.memory.lo >>> ((at & 3) * 8));
        i++;
      }
    }
    return true;
  }

  private writeSegment(hi: number, lo: number, length: number, words: Int32Array, done: number): boolean {
    const aligned = ((lo | done) & 3) === 0;
    for (let i = 0; i < length; ) {
      const at = (lo + i) | 0;
      const atHi = (hi + carry(at, lo)) | 0;
      if (aligned && length - i >= 4) {
        if (!this.memory.write32(atHi, at, words[(done + i) >> 2]!)) return false;
        i += 4;
      } else {
        if (!this.writeByte(atHi, at, words[(done + i) >> 2]! >>> (((done + i) & 3) * 8))) return false;
        i++;
      }
    }
    return true;
  }

  private writeByte(hi: number, lo: number, byte: number): boolean {
    if (!this.memory.read32(hi, lo & ~3)) return false;
    const shift = (lo & 3) * 8;
    return this.memory.write32(hi, lo & ~3, (this.memory.lo & ~(0xff << shift)) | ((byte & 0xff) << shift));
  }
}

function putByte(words: Int32Array, at: number, byte: number): void {
  const shift = (at & 3) * 8;
  words[at >> 2] = (words[at >> 2]! & ~(0xff << shift)) | ((byte & 0xff) << shift);
}
