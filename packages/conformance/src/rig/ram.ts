import type { SparseMemory } from '@iommukit/machine';
import { CaseFailure, hex } from '../expect.ts';

/** RAM for DMA, away from drivers' pages, registers and doorbells, and below 4 GiB for units with narrow addresses. */
const START = 0x8000_0000n;
const END = 0xe000_0000n;

/** Hands out RAM and marks it, so that a DMA shows which byte it reached. */
export class Ram {
  readonly #memory: SparseMemory;
  #next = START;
  #stamp = 0x5741_4d50_0000_0000n;

  constructor(memory: SparseMemory) {
    this.#memory = memory;
  }

  /** `bytes` of RAM, aligned to `align` (a power of two). Never given back. */
  take(bytes: bigint, align: bigint = 0x1000n): bigint {
    const pa = (this.#next + align - 1n) & ~(align - 1n);
    if (pa + bytes > END) throw new CaseFailure(`the rig has no ${hex(bytes)} bytes of RAM left`);
    this.#next = pa + bytes;
    return pa;
  }

  /** Eight bytes that stand nowhere else, written at `pa`. */
  mark(pa: bigint): Uint8Array {
    const bytes = this.fresh();
    this.write(pa, bytes);
    return bytes;
  }

  /** Eight bytes that stand nowhere yet. */
  fresh(): Uint8Array {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, this.#stamp++, true);
    return bytes;
  }

  read(pa: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (!this.#memory.readBytes(pa, bytes)) throw new CaseFailure(`RAM at ${hex(pa)} does not answer`);
    return bytes;
  }

  write(pa: bigint, bytes: Uint8Array): void {
    if (!this.#memory.writeBytes(pa, bytes)) throw new CaseFailure(`RAM at ${hex(pa)} does not answer`);
  }
}
