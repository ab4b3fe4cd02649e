import type { SparseMemory } from '@iommukit/machine';
import { CaseFailure, hex } from '../expect.ts';

/** RAM for DMA, away from drivers' pages, registers and doorbells, and below 4 GiB for units with narrow addresses. */
const LOW = { next: 0x8000_0000n, end: 0xe000_0000n };
/** Blocks of this size and more come from above 4 GiB. */
const BIG = 0x800_0000n;
const HIGH = { next: 0x5_6000_0000n, end: 0x10_0000_0000n };

/** Hands out RAM and marks it, so that a DMA shows which byte it reached. */
export class Ram {
  readonly #memory: SparseMemory;
  readonly #low = { ...LOW };
  readonly #high = { ...HIGH };
  #stamp = 0x5741_4d50_0000_0000n;

  constructor(memory: SparseMemory) {
    this.#memory = memory;
  }

  /** `bytes` of RAM, aligned to `align` (a power of two). Never given back. */
  take(bytes: bigint, align: bigint = 0x1000n): bigint {
    return this.#carve(bytes >= BIG ? this.#high : this.#low, bytes, align);
  }

  /** The same above 4 GiB, with no half of the address zero. */
  takeHigh(bytes: bigint, align: bigint = 0x1000n): bigint {
    return this.#carve(this.#high, bytes, align);
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

  #carve(region: { next: bigint; end: bigint }, bytes: bigint, align: bigint): bigint {
    const pa = (region.next + align - 1n) & ~(align - 1n);
    if (pa + bytes > region.end) throw new CaseFailure(`the rig has no ${hex(bytes)} bytes of RAM left`);
    region.next = pa + bytes;
    return pa;
  }
}
