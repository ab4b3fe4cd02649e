import { IommuError, type PhysicalMemory } from '@iommukit/core';

/**
 * Changing a 512-bit structure that hardware may be reading. Only 64-bit words can be written whole, so the order of the
 * writes decides what a reader can see (IHI 0070 3.21 leaves the order to software).
 *
 * What makes it work: a configuration does not look at all bits. Bits that the current meaning ignores can take their new
 * value early; if after that only one word is left to change, changing it switches from the old meaning to the new one
 * in a single write. Where two words would have to change at once, the entry goes through V = 0.
 */
export const ENTRY_QWORDS = 8;
const WORDS = ENTRY_QWORDS * 2;

export interface EntryKind {
  /** The bits that hardware looks at, given this entry's V and configuration, into `mask`. */
  used(entry: Uint32Array, mask: Uint32Array): void;
  /** Bits of `current` and `target` that may change at any time, into `mask`; absent: none. */
  safe?(current: Uint32Array, target: Uint32Array, mask: Uint32Array): void;
}

/** Writes `target` over the entry at `pa`. `sync` makes hardware forget the entry; it is called after every step. */
export class EntryWriter {
  private readonly memory: PhysicalMemory;
  private readonly kind: EntryKind;
  private readonly current = new Uint32Array(WORDS);
  private readonly early = new Uint32Array(WORDS);
  private readonly usedNow = new Uint32Array(WORDS);
  private readonly usedThen = new Uint32Array(WORDS);
  private readonly safe = new Uint32Array(WORDS);

  constructor(memory: PhysicalMemory, kind: EntryKind) {
    this.memory = memory;
    this.kind = kind;
  }

  write(pa: number, target: Uint32Array, sync: () => void): void {
    readEntry(this.memory, pa, this.current);
    const { critical, count } = this.compare(target);
    if (count === 0) this.set(pa, target, 0, ENTRY_QWORDS, sync);
    else if (count === 1) this.switchAt(pa, target, critical, sync);
    else this.breakAndMake(pa, target, sync);
  }

  /** The stream is refused between the first and the last step (V = 0). */
  private breakAndMake(pa: number, target: Uint32Array, sync: () => void): void {
    this.early.fill(0, 0, 2);
    this.set(pa, this.early, 0, 1, sync);
    this.set(pa, target, 1, ENTRY_QWORDS, sync);
    this.set(pa, target, 0, 1, sync);
  }

  /** Fills {@link early} with what can be written now, and finds the words in which that is not enough. */
  private compare(target: Uint32Array): { critical: number; count: number } {
    const { current, early, usedNow, usedThen, safe } = this;
    this.kind.used(current, usedNow);
    this.kind.used(target, usedThen);
    safe.fill(0);
    this.kind.safe?.(current, target, safe);
    let critical = 0;
    let count = 0;
    for (let word = 0; word < ENTRY_QWORDS; word++) {
      let differs = false;
      for (let half = word * 2; half < word * 2 + 2; half++) {
        const fixed = usedNow[half]! & ~safe[half]!;
        early[half] = (current[half]! & fixed) | (target[half]! & ~fixed);
        differs ||= (early[half]! & usedThen[half]!) >>> 0 !== target[half]!;
      }
      if (!differs) continue;
      critical = word;
      count++;
    }
    return { critical, count };
  }

  private switchAt(pa: number, target: Uint32Array, critical: number, sync: () => void): void {
    this.early[critical * 2] = this.current[critical * 2]!;
    this.early[critical * 2 + 1] = this.current[critical * 2 + 1]!;
    this.set(pa, this.early, 0, ENTRY_QWORDS, sync);
    this.set(pa, target, critical, critical + 1, sync);
    this.set(pa, target, 0, ENTRY_QWORDS, sync);
  }

  /** Writes the words `[from, to)` that change, lowest first, and syncs if any did. */
  private set(pa: number, words: Uint32Array, from: number, to: number, sync: () => void): void {
    let changed = false;
    for (let word = from; word < to; word++) {
      const [lo, hi] = [words[word * 2]!, words[word * 2 + 1]!];
      if (this.current[word * 2] === lo && this.current[word * 2 + 1] === hi) continue;
      storeQword(this.memory, pa + word * 8, lo, hi);
      this.current[word * 2] = lo;
      this.current[word * 2 + 1] = hi;
      changed = true;
    }
    if (changed) sync();
  }
}

/** One 64-bit write at `pa`. Throws IommuError EIO where memory aborts. */
export function storeQword(memory: PhysicalMemory, pa: number, lo: number, hi: number): void {
  if (!memory.write64(Math.floor(pa / 2 ** 32) | 0, pa | 0, hi | 0, lo | 0))
    throw new IommuError('EIO', `a structure at 0x${pa.toString(16)} lies in memory that aborts`);
}

/** The eight words of an entry nobody reads yet. */
export function storeEntry(memory: PhysicalMemory, pa: number, words: Uint32Array): void {
  for (let word = 0; word < ENTRY_QWORDS; word++)
    storeQword(memory, pa + word * 8, words[word * 2]!, words[word * 2 + 1]!);
}

/**
 * Puts an entry back where nobody can say what hardware has seen: refused (V = 0), the rest, then whole. False: it stands
 * there already.
 */
export function putBackEntry(memory: PhysicalMemory, pa: number, words: Uint32Array): boolean {
  const current = new Uint32Array(WORDS);
  readEntry(memory, pa, current);
  if (current.every((word, i) => word === words[i])) return false;
  storeQword(memory, pa, 0, 0);
  for (let word = ENTRY_QWORDS - 1; word >= 0; word--)
    storeQword(memory, pa + word * 8, words[word * 2]!, words[word * 2 + 1]!);
  return true;
}

export function readEntry(memory: PhysicalMemory, pa: number, words: Uint32Array): void {
  for (let word = 0; word < ENTRY_QWORDS; word++) {
    const at = pa + word * 8;
    if (!memory.read64(Math.floor(at / 2 ** 32) | 0, at | 0))
      throw new IommuError('EIO', `a structure at 0x${pa.toString(16)} lies in memory that aborts`);
    words[word * 2] = memory.lo;
    words[word * 2 + 1] = memory.hi;
  }
}
