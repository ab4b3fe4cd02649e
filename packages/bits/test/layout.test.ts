import { describe, expect, test } from 'vitest';
import { addr, big, flag, layout, reader, reader64, uint } from '../src/index.ts';

// STE words 0 and 2 as IHI 0070 5.2 lays them out; the literals come from a Linux stage-1 and a stage-2 capture.
const STE = layout('STE', 'IHI 0070 5.2', 512, {
  V: flag(0),
  Config: uint(3, 1, { 0: 'ABORT', 4: 'BYPASS', 5: 'S1_TRANS' }),
  S1Fmt: uint(5, 4),
  S1ContextPtr: addr(55, 6),
  S1CDMax: uint(63, 59),
  S2VMID: uint(143, 128),
  S2TTB: addr(247, 196),
});

describe('layout', () => {
  test('decodes literal words', () => {
    const words = new Uint32Array(16);
    words[0] = 0x4360b00b;
    expect(STE.decode(words)).toMatchObject({ V: true, Config: 5, S1ContextPtr: 0x4360b000n, S1CDMax: 0 });
    expect(STE.format(words)).toBe('STE{V Config=S1_TRANS S1ContextPtr=0x4360b000}');
  });

  test('encodes fields in the high words in place', () => {
    const words = STE.encode({ V: true, Config: 5, S1CDMax: 10, S2VMID: 0xbeef, S2TTB: 0x000f_ffff_ffff_fff0n });
    expect([...words.subarray(0, 8)]).toEqual([0xb, 0x50000000, 0, 0, 0xbeef, 0, 0xfffffff0, 0xfffff]);
  });

  test('reports reserved bits by run', () => {
    const words = new Uint32Array(16);
    words[2] = 0b1100;
    words[15] = 0x8000_0000;
    expect(STE.reserved(words)).toEqual([
      { msb: 67, lsb: 66, value: 3n },
      { msb: 511, lsb: 511, value: 1n },
    ]);
  });

  test('refuses values and fields that do not fit', () => {
    expect(() => STE.encode({ Config: 8 })).toThrow(RangeError);
    expect(() => STE.encode({ S1ContextPtr: 0x20n })).toThrow(RangeError);
    expect(() => layout('X', '', 64, { a: uint(3, 0), b: flag(3) })).toThrow(/overlaps/);
    expect(() => layout('X', '', 64, { a: uint(64, 63) })).toThrow(/crosses/);
    expect(() => layout('X', '', 32, { a: flag(32) })).toThrow(/past/);
  });

  test('ignored bits are neither fields nor reserved', () => {
    const L = layout('L', '', 64, { a: flag(0) }, { ignored: [[62, 52]] });
    expect(L.reserved(Uint32Array.of(1, 0x7ff00000))).toEqual([]);
    expect(L.reserved(Uint32Array.of(1, 0x80000000))).toEqual([{ msb: 63, lsb: 63, value: 1n }]);
  });
});

describe('readers', () => {
  test('agree with shifts done by hand on the literal word', () => {
    // 0xfedcba98_76543210: bits 35:28 are 0x87, bits 51:12 are 0xcba9876543
    const [lo, hi] = [0x76543210 | 0, 0xfedcba98 | 0];
    expect(reader64(uint(35, 28))(lo, hi)).toBe(0x87);
    expect(reader64(big(51, 12))(lo, hi)).toBe(0xcba9876543);
    expect(reader64(uint(31, 0))(lo, hi)).toBe(0x76543210);
    expect(reader64(uint(63, 32))(lo, hi)).toBe(0xfedcba98);
    expect(reader(uint(67, 64))(Int32Array.of(0, 0, 0, 0xa5, 0), 1)).toBe(5);
    expect(reader(flag(127))(Uint32Array.of(0, 0, 0, 0x80000000), 0)).toBe(1);
  });

  test('agree with decode on random words', () => {
    const fields = { a: uint(7, 3), b: uint(31, 0), c: uint(40, 20), d: uint(63, 33), e: uint(95, 70), f: flag(127) };
    const L = layout('L', '', 128, { a: fields.a, d: fields.d, e: fields.e, f: fields.f });
    let seed = 1;
    for (let i = 0; i < 1000; i++) {
      const words = Uint32Array.from({ length: 4 }, () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0));
      const v = L.decode(words);
      expect(reader(fields.a)(words, 0)).toBe(v.a);
      expect(reader(fields.d)(words, 0)).toBe(v.d);
      expect(reader(fields.e)(words, 0)).toBe(v.e);
      expect(reader(fields.f)(words, 0)).toBe(Number(v.f));
    }
  });
});
