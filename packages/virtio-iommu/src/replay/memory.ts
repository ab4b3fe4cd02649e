import type { DmaPages, PhysicalMemory } from '@iommukit/core';

const PAGE = 4096;

/** Just enough memory for the queues of one replay: a few pages from address 0 on, growing as they are handed out. */
export class ReplayMemory implements PhysicalMemory, DmaPages {
  lo = 0;
  hi = 0;
  private view = new DataView(new ArrayBuffer(0));

  alloc(bytes: number): number {
    const pa = this.view.byteLength;
    const grown = new Uint8Array(pa + Math.ceil(bytes / PAGE) * PAGE);
    grown.set(new Uint8Array(this.view.buffer));
    this.view = new DataView(grown.buffer);
    return pa;
  }

  /** Memory goes with the session. */
  free(_pa: number): void {}

  read32(paHi: number, paLo: number): boolean {
    const at = this.find(paHi, paLo, 4);
    if (at < 0) return false;
    this.lo = this.view.getInt32(at, true);
    return true;
  }

  read64(paHi: number, paLo: number): boolean {
    const at = this.find(paHi, paLo, 8);
    if (at < 0) return false;
    this.lo = this.view.getInt32(at, true);
    this.hi = this.view.getInt32(at + 4, true);
    return true;
  }

  write32(paHi: number, paLo: number, value: number): boolean {
    const at = this.find(paHi, paLo, 4);
    if (at >= 0) this.view.setInt32(at, value, true);
    return at >= 0;
  }

  write64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    const at = this.find(paHi, paLo, 8);
    if (at < 0) return false;
    this.view.setInt32(at, lo, true);
    this.view.setInt32(at + 4, hi, true);
    return true;
  }

  compareExchange64(paHi: number, paLo: number, oldHi: number, oldLo: number, newHi: number, newLo: number): boolean {
    if (!this.read64(paHi, paLo) || this.hi !== (oldHi | 0) || this.lo !== (oldLo | 0)) return false;
    return this.write64(paHi, paLo, newHi, newLo);
  }

  readBytes(pa: bigint, bytes: Uint8Array): boolean {
    const source = this.slice(pa, bytes.length);
    if (source) bytes.set(source);
    return source !== null;
  }

  writeBytes(pa: bigint, bytes: Uint8Array): boolean {
    const target = this.slice(pa, bytes.length);
    target?.set(bytes);
    return target !== null;
  }

  private slice(pa: bigint, length: number): Uint8Array | null {
    if (pa < 0n || pa + BigInt(length) > BigInt(this.view.byteLength)) return null;
    return new Uint8Array(this.view.buffer, Number(pa), length);
  }

  private find(paHi: number, paLo: number, size: number): number {
    return paHi === 0 && paLo >= 0 && paLo + size <= this.view.byteLength ? paLo : -1;
  }
}
