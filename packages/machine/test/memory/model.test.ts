import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageAllocator, SparseMemory } from '../../src/index.ts';
import { RangeSet } from '../../src/memory/ranges.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);

/** A map of bytes with the same promises, one byte at a time. */
class ByteModel {
  readonly bytes = new Map<bigint, number>();
  readonly poisoned: [bigint, bigint][] = [];
  readonly ram: readonly { start: bigint; last: bigint }[];

  constructor(ram: readonly { start: bigint; last: bigint }[]) {
    this.ram = ram;
  }

  answers(address: bigint, length: number): boolean {
    for (let a = address; a < address + BigInt(length); a++) {
      if (!this.ram.some(({ start, last }) => start <= a && a <= last)) return false;
      if (this.poisoned.some(([start, last]) => start <= a && a <= last)) return false;
    }
    return true;
  }

  read(address: bigint, length: number): number[] {
    return Array.from({ length }, (_, i) => this.bytes.get(address + BigInt(i)) ?? 0);
  }

  write(address: bigint, bytes: ArrayLike<number>): void {
    Array.from(bytes).forEach((byte, i) => {
      this.bytes.set(address + BigInt(i), byte);
    });
  }
}

const RAM = [
  { start: 0x3ff8n, last: 0x801fn },
  { start: 0x8020n, last: 0xbfffn },
  { start: 0xf_ffff_ffff_c000n, last: 0xf_ffff_ffff_ffffn },
];
/** Edges of RAM and of chunks, and the same low halves under other high halves. */
const places = fc
  .tuple(
    fc.constantFrom(
      0x3ff0n,
      0x4000n,
      0x7ff8n,
      0x8018n,
      0xbff8n,
      0x1_0000_4000n,
      0xf_ffff_ffff_fff0n,
      0x10_0000_0000_4000n,
    ),
    fc.nat(24),
  )
  .map(([base, offset]) => base + BigInt(offset));
const operation = fc.oneof(
  fc.record({
    op: fc.constant('word' as const),
    at: places,
    size: fc.constantFrom(4, 8),
    write: fc.boolean(),
    value: fc.integer(),
  }),
  fc.record({
    op: fc.constant('bytes' as const),
    at: places,
    data: fc.uint8Array({ maxLength: 24 }),
    write: fc.boolean(),
  }),
  fc.record({ op: fc.constant('cas' as const), at: places, old: fc.constantFrom(0, 1), value: fc.nat(1) }),
  fc.record({ op: fc.constant('poison' as const), at: places, length: fc.nat(16) }),
  fc.record({ op: fc.constant('heal' as const) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const hiOf = (a: bigint) => Number(BigInt.asIntN(32, a >> 32n));
const loOf = (a: bigint) => Number(BigInt.asIntN(32, a));
const wordBytes = (value: number, size: number) => new Uint8Array(Int32Array.of(value, ~value).buffer, 0, size);

function step(memory: SparseMemory, model: ByteModel, it: Operation): void {
  if (it.op === 'heal') {
    memory.heal();
    model.poisoned.length = 0;
  } else if (it.op === 'poison') {
    if (it.at + BigInt(it.length) >= 1n << 52n) return;
    memory.poison(it.at, it.at + BigInt(it.length));
    model.poisoned.push([it.at, it.at + BigInt(it.length)]);
  } else if (it.op === 'bytes') {
    const ok = model.answers(it.at, it.data.length) && it.at + BigInt(it.data.length) <= 1n << 52n;
    if (it.write) {
      expect(memory.writeBytes(it.at, it.data)).toBe(ok);
      if (ok) model.write(it.at, it.data);
    } else {
      const out = new Uint8Array(it.data.length);
      expect(memory.readBytes(it.at, out)).toBe(ok);
      if (ok) expect([...out]).toEqual(model.read(it.at, out.length));
    }
  } else if (it.op === 'cas') {
    const at = it.at & ~7n;
    const ok = model.answers(at, 8);
    const found = ok && model.read(at, 8).join() === [it.old, 0, 0, 0, 0, 0, 0, 0].join();
    expect(memory.compareExchange64(hiOf(at), loOf(at), 0, it.old, 0, it.value)).toBe(found);
    if (found) model.write(at, [it.value, 0, 0, 0, 0, 0, 0, 0]);
  } else stepWord(memory, model, it);
}

function stepWord(memory: SparseMemory, model: ByteModel, it: Operation & { op: 'word' }): void {
  const at = it.at & ~BigInt(it.size - 1);
  const ok = model.answers(at, it.size);
  const [hi, lo] = [hiOf(at), loOf(at)];
  if (it.write) {
    const done = it.size === 4 ? memory.write32(hi, lo, it.value) : memory.write64(hi, lo, ~it.value, it.value);
    expect(done).toBe(ok);
    if (ok) model.write(at, wordBytes(it.value, it.size));
    return;
  }
  expect(it.size === 4 ? memory.read32(hi, lo) : memory.read64(hi, lo)).toBe(ok);
  if (!ok) return;
  const found = it.size === 4 ? Int32Array.of(memory.lo) : Int32Array.of(memory.lo, memory.hi);
  expect([...new Uint8Array(found.buffer)]).toEqual(model.read(at, it.size));
}

describe('against a plain model', () => {
  test('memory, through two ports at once', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), operation), { maxLength: 30 }), (operations) => {
        const memory = new SparseMemory(RAM);
        const port = memory.port();
        const model = new ByteModel(RAM);
        for (const [other, it] of operations) step(other ? port : memory, model, it);
      }),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });

  test('ranges', () => {
    const range = fc.tuple(fc.nat(40), fc.nat(6)).map(([start, length]) => [start, start + length] as const);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), range, (added, [start, last]) => {
        const set = new RangeSet();
        const members = new Set<number>();
        for (const [from, to] of added) {
          set.add(from, to);
          for (let n = from; n <= to; n++) members.add(n);
        }
        const asked = Array.from({ length: last - start + 1 }, (_, i) => members.has(start + i));
        expect(set.covers(start, last)).toBe(asked.every(Boolean));
        expect(set.touches(start, last)).toBe(asked.some(Boolean));
      }),
      { numRuns: RUNS },
    );
  });

  test('live allocations never overlap, are aligned, zero, and all come back', () => {
    const request = fc.oneof(
      fc.record({ bytes: fc.integer({ min: 1, max: 0x5000 }), align: fc.constantFrom(undefined, 64, 0x1000, 0x4000) }),
      fc.record({ free: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
        const memory = new SparseMemory();
        const pages = new PageAllocator(memory, 0x1000n, 0x2_0fffn);
        const live: { pa: number; size: number }[] = [];
        for (const it of requests) {
          if ('free' in it) {
            const [gone] = live.splice(it.free % Math.max(1, live.length), 1);
            if (gone) pages.free(gone.pa);
            continue;
          }
          const size = Math.ceil(it.bytes / 4096) * 4096;
          const pa = tryAlloc(pages, it.bytes, it.align);
          if (pa === null) continue;
          expect(pa % Math.max(4096, it.align ?? 2 ** Math.ceil(Math.log2(size)))).toBe(0);
          expect(pa >= 0x1000 && pa + size <= 0x2_1000).toBe(true);
          expect(live.some((other) => pa < other.pa + other.size && other.pa < pa + size)).toBe(false);
          const bytes = new Uint8Array(size);
          memory.readBytes(BigInt(pa), bytes);
          expect(bytes.some((byte) => byte !== 0)).toBe(false);
          memory.writeBytes(BigInt(pa), bytes.fill(0xff));
          live.push({ pa, size });
        }
        expect(pages.livePages).toBe(live.reduce((sum, { size }) => sum + size / 4096, 0));
        for (const { pa } of live) pages.free(pa);
        expect(pages.alloc(0x2_0000, 4096)).toBe(0x1000);
      }),
      { numRuns: Math.ceil(RUNS / 20) },
    );
  });
});

function tryAlloc(pages: PageAllocator, bytes: number, align: number | undefined): number | null {
  try {
    return pages.alloc(bytes, align);
  } catch {
    return null;
  }
}
