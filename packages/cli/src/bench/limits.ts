import type { PageSet } from './pages.ts';

/** Bare work that a figure cannot go below: `run(ops)` does it `ops` times. */
export interface Limit {
  readonly name: string;
  run(ops: number): void;
}

const ENTRIES = 512;
const PRESENT = 1;
const LEVEL_SHIFTS = [39n, 30n, 21n, 12n] as const;

/** Keeps results alive, so that no loop is optimised away. */
const sink = new Int32Array(1);

/**
 * Four dependent loads of 64-bit entries from tables in one typed array, with the present bit checked, and nothing else.
 * As in the figures, each address waits for the answer before it: a latency, not a throughput.
 */
export function bareWalk(pages: PageSet): Limit {
  const tables = buildTables(pages);
  const found = { hi: 0, lo: 0 };
  const { hi, lo, length } = pages;
  return {
    name: 'bare 4-level walk over a typed array',
    run(ops) {
      for (let i = 0, at = 0; i < ops; i++, at = at + 1 === length ? 0 : at + 1) {
        const next = at + (found.lo >>> 31);
        if (!walk(tables, hi[next]!, lo[next]!, found)) throw new Error('the bare walk found a hole');
      }
      sink[0]! ^= found.lo ^ found.hi;
    },
  };
}

function walk(tables: Int32Array, iovaHi: number, iovaLo: number, found: { hi: number; lo: number }): boolean {
  let at = ((iovaHi >>> 7) & 511) * 2;
  let entry = tables[at]!;
  if ((entry & PRESENT) === 0) return false;
  at = ((entry & -4096) >>> 2) + (((iovaHi << 2) | (iovaLo >>> 30)) & 511) * 2;
  entry = tables[at]!;
  if ((entry & PRESENT) === 0) return false;
  at = ((entry & -4096) >>> 2) + ((iovaLo >>> 21) & 511) * 2;
  entry = tables[at]!;
  if ((entry & PRESENT) === 0) return false;
  at = ((entry & -4096) >>> 2) + ((iovaLo >>> 12) & 511) * 2;
  entry = tables[at]!;
  if ((entry & PRESENT) === 0) return false;
  found.lo = (entry & -4096) | (iovaLo & 4095);
  found.hi = tables[at + 1]!;
  return true;
}

/** A 4-level radix tree of 4096-byte tables; an entry's address is a byte offset in the array, or a page frame. */
function buildTables({ iovas }: PageSet): Int32Array {
  const tables = new Map<number, number>();
  const entries: [slot: number, value: number][] = [];
  let next = ENTRIES;
  const tableAt = (slot: number): number => {
    const known = tables.get(slot);
    if (known !== undefined) return known;
    const made = next;
    next += ENTRIES;
    tables.set(slot, made);
    entries.push([slot, (made * 8) | PRESENT]);
    return made;
  };
  iovas.forEach((iova, frame) => {
    const slot = LEVEL_SHIFTS.reduce((from, shift, level) => {
      const table = level === 0 ? 0 : tableAt(from);
      return table + Number((iova >> shift) & 511n);
    }, 0);
    entries.push([slot, (frame << 12) | PRESENT]);
  });
  const words = new Int32Array(next * 2);
  for (const [slot, value] of entries) words[slot * 2] = value;
  return words;
}

const SLOTS = 4096;
const slotOf = (hi: number, lo: number): number => (((lo >>> 12) ^ hi) & (SLOTS - 1)) * 4;

/** One probe of a direct-mapped table by page number, with the tag compared. */
export function bareLookup(pages: PageSet): Limit {
  const table = new Int32Array(SLOTS * 4);
  const { hi, lo, length } = pages;
  for (let at = 0; at < length; at++) table.set([hi[at]!, lo[at]! & -4096, 0, at << 12], slotOf(hi[at]!, lo[at]!));
  return {
    name: 'bare probe of a direct-mapped typed array',
    run(ops) {
      let pa = 0;
      for (let i = 0, at = 0; i < ops; i++, at = at + 1 === length ? 0 : at + 1) {
        const next = at + (pa >>> 31);
        const slot = slotOf(hi[next]!, lo[next]!);
        if (table[slot] === hi[next] && table[slot + 1] === (lo[next]! & -4096)) pa = table[slot + 3]!;
      }
      sink[0]! ^= pa;
    },
  };
}

/** `loads` loads, each address taken from the load before. */
export function bareLoads(loads: number): Limit {
  const words = 1 << 16;
  const chain = new Int32Array(words);
  for (let i = 0, at = 0; i < words; i++) {
    // A full-period generator: the chain visits every word before it repeats.
    const next = (Math.imul(at, 40_501) + 12_345) & (words - 1);
    chain[at] = next;
    at = next;
  }
  return {
    name: `bare chain of ${loads} loads`,
    run(ops) {
      let at = 0;
      for (let i = 0; i < ops; i++) for (let load = 0; load < loads; load++) at = chain[at]!;
      sink[0]! ^= at;
    },
  };
}

/** `count` 64-bit entries written as halves, and cleared again. */
export function bareFill(count: number): Limit {
  const words = new Int32Array(count * 2);
  return {
    name: `bare fill and clear of ${count} ${count === 1 ? 'entry' : 'entries'}`,
    run(ops) {
      for (let i = 0; i < ops; i++) {
        for (let at = 0; at < words.length; at += 2) {
          words[at] = (at << 11) | 3;
          words[at + 1] = i;
        }
        sink[0]! ^= words[words.length - 1]!;
        words.fill(0);
      }
    },
  };
}

/** Two 16-byte entries written to a ring and read back: a command and the one that waits for it. */
export function bareQueue(): Limit {
  const ring = new Int32Array(1024);
  return {
    name: 'bare write and read of two ring entries',
    run(ops) {
      let at = 0;
      for (let i = 0; i < ops; i++) {
        for (let word = 0; word < 8; word++) ring[at + word] = i;
        for (let word = 0; word < 8; word++) sink[0]! ^= ring[at + word]!;
        at = (at + 8) & 1023;
      }
    },
  };
}

/** A pass over `count` 64-bit entries that gathers one bit of each into a bitmap. */
export function bareScan(count: number): Limit {
  const entries = new Int32Array(count * 2).fill(0x200);
  const bits = new Int32Array(count / 32);
  return {
    name: `bare pass over ${count.toLocaleString('en-US')} entries, a bit of each into a bitmap`,
    run(ops) {
      for (let i = 0; i < ops; i++) {
        for (let at = 0; at < count; at++) if ((entries[at * 2]! & 0x200) !== 0) bits[at >>> 5]! |= 1 << (at & 31);
        sink[0]! ^= bits[0]!;
      }
    },
  };
}

/** Binary search among `count` sorted numbers, for one after the other in a scattered order. */
export function bareSearch(count: number): Limit {
  const starts = Float64Array.from({ length: count }, (_, at) => at * 2 ** 32);
  let wanted = 0;
  return {
    name: `bare binary search among ${count.toLocaleString('en-US')} numbers`,
    run(ops) {
      for (let i = 0; i < ops; i++) {
        wanted = (wanted + 7919) % count;
        let low = 0;
        for (let high = count; low < high; ) {
          const middle = (low + high) >>> 1;
          if (starts[middle]! < starts[wanted]!) low = middle + 1;
          else high = middle;
        }
        sink[0]! ^= low;
      }
    },
  };
}
