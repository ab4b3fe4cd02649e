import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identityOf } from '../src/memory/identity.ts';
import { PinLedger } from '../src/memory/pin-ledger.ts';
import { Windows } from '../src/memory/windows.ts';

const GIB = 1n << 30n;
const numRuns = Math.min(Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000), 3000);

const windows = (pins = new PinLedger(), count = 4n) =>
  new Windows({ start: 4n * GIB, last: 4n * GIB + count * GIB - 1n, idle: (pa) => pins.idle(pa) });

describe('invented physical addresses', () => {
  it('are the same for the same page, neighbours for neighbours, and congruent', () => {
    const space = windows();
    const [first] = space.place([{ object: 'a', offset: 0x1234_5000n, length: 0x3000n }]);
    expect(first).toEqual({ pa: 4n * GIB + 0x1234_5000n, length: 0x3000n });
    expect(space.place([{ object: 'b', offset: 0x1234_5000n, length: 0x1000n }])[0]!.pa).not.toBe(first!.pa);
    expect(space.place([{ object: 'a', offset: 0x1234_6000n, length: 0x1000n }])[0]!.pa).toBe(first!.pa + 0x1000n);
  });

  it('join over a border when the windows are neighbours', () => {
    expect(windows().place([{ object: 'a', offset: GIB - 0x1000n, length: 0x2000n }])).toEqual([
      { pa: 5n * GIB - 0x1000n, length: 0x2000n },
    ]);
  });

  it('go to other memory when nothing is pinned there, and run out when everything is', () => {
    const pins = new PinLedger();
    const space = windows(pins, 2n);
    const kept = space.place([{ object: 'a', offset: 0n, length: 0x1000n }]);
    pins.add(kept);
    for (let i = 0; i < 10; i++) space.place([{ object: `b${i}`, offset: 0n, length: 0x1000n }]);
    expect(space.place([{ object: 'a', offset: 0n, length: 0x1000n }])).toEqual(kept);
    pins.add(space.place([{ object: 'c', offset: 0n, length: 0x1000n }]));
    expect(() => space.place([{ object: 'd', offset: 0n, length: 0x1000n }])).toThrow('ENOMEM');
    expect(() => space.place([{ object: 'e', offset: 0n, length: 3n * GIB }])).toThrow('ENOMEM');
  });

  it('follow the file for shared memory and the process for private memory', () => {
    const extent = { address: 0x7000n, length: 0x1000n, dev: 3n, ino: 4n, offset: 0x2000n, prot: 3 };
    expect(identityOf(9, { ...extent, prot: 11 })).toEqual({ object: '3:4', offset: 0x2000n, length: 0x1000n });
    expect(identityOf(9, extent)).toEqual({ object: 'pid 9', offset: 0x7000n, length: 0x1000n });
  });
});

describe('pin counts', () => {
  it('agree with a count page by page, in whatever pieces pins are undone', () => {
    // Pages around the border between two blocks of the ledger.
    const base = (1n << 30n) - 8n * 4096n;
    const range = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 1, max: 16 }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), fc.array(fc.integer({ min: 0, max: 15 })), (ranges, cuts) => {
        const ledger = new PinLedger();
        const plain = new Array<number>(32).fill(0);
        for (const [first, pages] of ranges) {
          ledger.add([{ pa: base + BigInt(first) * 4096n, length: BigInt(pages) * 4096n }]);
          for (let page = first; page < first + pages; page++) plain[page]!++;
        }
        const counts = () => plain.map((_, page) => ledger.at(base + BigInt(page) * 4096n));
        expect(counts()).toEqual(plain);
        for (const page of cuts) {
          if (plain[page] === 0) continue;
          ledger.remove([{ pa: base + BigInt(page) * 4096n, length: 4096n }]);
          plain[page]!--;
        }
        expect(counts()).toEqual(plain);
        expect(ledger.pages).toBe(plain.reduce((a, b) => a + b));
      }),
      { numRuns },
    );
  });

  it('costs the same for a terabyte as for a page', () => {
    const ledger = new PinLedger();
    const extent = { pa: 1n << 32n, length: 1n << 40n };
    ledger.add([extent]);
    expect(ledger.at((1n << 32n) + (1n << 39n))).toBe(1);
    ledger.remove([extent]);
    expect([ledger.pages, ledger.idle(1n << 32n)]).toEqual([0, true]);
  });
});
