import { type DmaPages, IommuError, type PhysicalMemory } from '@iommukit/core';

const CHUNK_WORDS = 16384;

/** Physical memory and its allocator in one, as small as the suite needs: 2^53 addresses, zero until written. */
export class TestMemory implements PhysicalMemory, DmaPages {
  lo = 0;
  hi = 0;
  private readonly chunks = new Map<number, Int32Array>();
  private readonly blocks = new Map<number, number>();
  private next = 0x8000_0000;
  private failIn = 0;
  private lastKey = -1;
  private lastChunk: Int32Array = new Int32Array(CHUNK_WORDS);

  get live(): number {
    return this.blocks.size;
  }

  /** The nth allocation from now on fails, once. 0 = none. */
  failNth(n: number): void {
    this.failIn = n;
  }

  alloc(bytes: number, align = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)))): number {
    if (this.failIn > 0 && --this.failIn === 0) throw new IommuError('ENOMEM', 'the allocation that was to fail');
    const pa = Math.ceil(this.next / align) * align;
    this.next = pa + bytes;
    this.blocks.set(pa, bytes);
    return pa;
  }

  free(pa: number): void {
    if (!this.blocks.delete(pa)) throw new Error(`0x${pa.toString(16)} is not allocated`);
  }

  read32(paHi: number, paLo: number): boolean {
    this.lo = this.chunk(paHi, paLo)[(paLo >>> 2) & (CHUNK_WORDS - 1)]!;
    return true;
  }

  read64(paHi: number, paLo: number): boolean {
    const chunk = this.chunk(paHi, paLo);
    const at = (paLo >>> 2) & (CHUNK_WORDS - 1);
    this.lo = chunk[at]!;
    this.hi = chunk[at + 1]!;
    return true;
  }

  write32(paHi: number, paLo: number, value: number): boolean {
    this.chunk(paHi, paLo)[(paLo >>> 2) & (CHUNK_WORDS - 1)] = value;
    return true;
  }

  write64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    const chunk = this.chunk(paHi, paLo);
    const at = (paLo >>> 2) & (CHUNK_WORDS - 1);
    chunk[at] = lo;
    chunk[at + 1] = hi;
    return true;
  }

  compareExchange64(paHi: number, paLo: number, oldHi: number, oldLo: number, hi: number, lo: number): boolean {
    this.read64(paHi, paLo);
    return this.lo === oldLo && this.hi === oldHi && this.write64(paHi, paLo, hi, lo);
  }

  readBytes(pa: bigint, bytes: Uint8Array): boolean {
    for (let i = 0; i < bytes.length; i++) {
      const at = pa + BigInt(i);
      this.read32(Number(at >> 32n), Number(BigInt.asIntN(32, at & ~3n)));
      bytes[i] = this.lo >>> (Number(at & 3n) * 8);
    }
    return true;
  }

  writeBytes(): boolean {
    throw new Error('the suite writes entries only');
  }

  private chunk(paHi: number, paLo: number): Int32Array {
    const key = paHi * 65536 + (paLo >>> 16);
    if (key === this.lastKey) return this.lastChunk;
    let chunk = this.chunks.get(key);
    if (chunk === undefined) this.chunks.set(key, (chunk = new Int32Array(CHUNK_WORDS)));
    this.lastKey = key;
    this.lastChunk = chunk;
    return chunk;
  }
}
