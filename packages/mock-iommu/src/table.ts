import { addToGather, type Gather, IommuError, type MapResult } from '@iommukit/core';

/** A large leaf covers one block. */
const BLOCK_BYTES = 2 ** 20;
/** Addresses are exact integers below this. */
const OUTPUT_END = 2 ** 52;

interface Leaf {
  readonly pa: number;
  dirty: boolean;
}

/** Small entries of a block: physical addresses, -1 = absent. */
interface Entries {
  readonly pas: Float64Array;
  readonly dirty: Uint8Array;
  live: number;
}

type Block = Leaf | Entries;
const isLeaf = (block: Block): block is Leaf => 'pa' in block;

/**
 * The mock's page table: blocks of 1 MiB, each one leaf or a table of small entries. Nothing walks it but the driver and
 * the test commands, so it lives in the driver's own memory and not in the machine's.
 */
export class MockTable {
  /** Bytes of a small page. */
  readonly granule: number;
  readonly #blocks = new Map<number, Block>();

  constructor(granule: bigint) {
    this.granule = Number(granule);
  }

  /** Blocks in use. */
  get blocks(): number {
    return this.#blocks.size;
  }

  /** Maps `count` pages of `size` bytes (a small page or a block). EEXIST over a mapping; ERANGE: `pa` too wide. */
  map(iova: bigint, pa: bigint, size: bigint, count: number): MapResult {
    const step = Number(size);
    const end = Number(pa) + step * count;
    if (end > OUTPUT_END) return { mapped: 0, error: new IommuError('ERANGE', 'pa is wider than the format holds') };
    const put = step === BLOCK_BYTES ? this.#putLeaf : this.#putEntry;
    for (let i = 0; i < count; i++) {
      if (put.call(this, Number(iova) + i * step, Number(pa) + i * step)) continue;
      return { mapped: i, error: new IommuError('EEXIST', 'already mapped') };
    }
    return { mapped: count, error: null };
  }

  /** Removes whole leaves from `iova` on, up to the first hole or a leaf the range cuts; returns the bytes removed. */
  unmap(iova: bigint, size: bigint, gather: Gather): bigint {
    const start = Number(iova);
    const end = start + Number(size);
    let at = start;
    while (at < end) {
      const done = this.#clear(at, end, gather);
      if (done === 0) break;
      at += done;
    }
    return BigInt(at - start);
  }

  lookup(iova: bigint): bigint | null {
    const at = Number(iova);
    const block = this.#blocks.get(Math.floor(at / BLOCK_BYTES));
    if (!block) return null;
    if (isLeaf(block)) return BigInt(block.pa + (at % BLOCK_BYTES));
    const pa = block.pas[this.#index(at)]!;
    return pa < 0 ? null : BigInt(pa + (at % this.granule));
  }

  /** What hardware does on a write: the leaf around `iova` turns dirty. False where nothing is mapped. */
  setDirty(iova: bigint): boolean {
    const at = Number(iova);
    const block = this.#blocks.get(Math.floor(at / BLOCK_BYTES));
    if (!block) return false;
    if (isLeaf(block)) {
      block.dirty = true;
      return true;
    }
    if (block.pas[this.#index(at)]! < 0) return false;
    block.dirty[this.#index(at)] = 1;
    return true;
  }

  /** Dirty leaves that touch `[iova, iova + size)`, whole and ascending; made clean unless `keep`. */
  eachDirty(iova: bigint, size: bigint, keep: boolean, report: (iova: bigint, size: bigint) => void): void {
    const start = Number(iova);
    const end = start + Number(size);
    for (const index of this.#indexes(start, end)) {
      const block = this.#blocks.get(index)!;
      const base = index * BLOCK_BYTES;
      if (!isLeaf(block)) this.#dirtyEntries(block, base, start, end, keep, report);
      else if (block.dirty) {
        block.dirty = keep;
        report(BigInt(base), BigInt(BLOCK_BYTES));
      }
    }
  }

  #index(at: number): number {
    return Math.floor((at % BLOCK_BYTES) / this.granule);
  }

  #putLeaf(at: number, pa: number): boolean {
    const index = at / BLOCK_BYTES;
    if (this.#blocks.has(index)) return false;
    this.#blocks.set(index, { pa, dirty: false });
    return true;
  }

  #putEntry(at: number, pa: number): boolean {
    const block = this.#reach(Math.floor(at / BLOCK_BYTES));
    const index = this.#index(at);
    if (isLeaf(block) || block.pas[index]! >= 0) return false;
    block.pas[index] = pa;
    block.dirty[index] = 0;
    block.live++;
    return true;
  }

  #reach(index: number): Block {
    const found = this.#blocks.get(index);
    if (found) return found;
    const count = BLOCK_BYTES / this.granule;
    const made = { pas: new Float64Array(count).fill(-1), dirty: new Uint8Array(count), live: 0 };
    this.#blocks.set(index, made);
    return made;
  }

  /** Clears what one block holds of `[at, end)`; returns the bytes. */
  #clear(at: number, end: number, gather: Gather): number {
    const index = Math.floor(at / BLOCK_BYTES);
    const block = this.#blocks.get(index);
    if (!block) return 0;
    const done = isLeaf(block) ? clearLeaf(at, end) : this.#clearEntries(block, at, end);
    if (done === 0) return 0;
    if (isLeaf(block) || block.live === 0) this.#blocks.delete(index);
    addToGather(gather, BigInt(at), BigInt(done), BigInt(isLeaf(block) ? BLOCK_BYTES : this.granule));
    return done;
  }

  #clearEntries(block: Entries, at: number, end: number): number {
    const from = this.#index(at);
    const room = Math.floor((end - at) / this.granule);
    const stop = Math.min(block.pas.length, from + room);
    let i = from;
    for (; i < stop && block.pas[i]! >= 0; i++) block.pas[i] = -1;
    block.live -= i - from;
    return (i - from) * this.granule;
  }

  #dirtyEntries(
    { pas, dirty }: Entries,
    base: number,
    start: number,
    end: number,
    keep: boolean,
    report: (iova: bigint, size: bigint) => void,
  ): void {
    const first = start > base ? this.#index(start) : 0;
    const stop = Math.min(pas.length, Math.ceil((end - base) / this.granule));
    for (let i = first; i < stop; i++) {
      if (dirty[i] === 0 || pas[i]! < 0) continue;
      if (!keep) dirty[i] = 0;
      report(BigInt(base + i * this.granule), BigInt(this.granule));
    }
  }

  /** Blocks in use that touch `[start, end)`, ascending; a wide range costs no more than there are blocks. */
  *#indexes(start: number, end: number): Generator<number> {
    const first = Math.floor(start / BLOCK_BYTES);
    const last = Math.ceil(end / BLOCK_BYTES) - 1;
    if (last - first < this.#blocks.size) {
      for (let i = first; i <= last; i++) if (this.#blocks.has(i)) yield i;
      return;
    }
    const used = [...this.#blocks.keys()].filter((i) => i >= first && i <= last);
    yield* used.sort((a, b) => a - b);
  }
}

const clearLeaf = (at: number, end: number): number =>
  at % BLOCK_BYTES === 0 && end - at >= BLOCK_BYTES ? BLOCK_BYTES : 0;
