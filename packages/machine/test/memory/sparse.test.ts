import { describe, expect, test } from 'vitest';
import { SparseMemory } from '../../src/index.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

describe('SparseMemory', () => {
  test('is little-endian between bytes and words', () => {
    const memory = new SparseMemory();
    expect(memory.write64(0xf_ffff, -8, 0x8070_6050 | 0, 0x0403_0201)).toBe(true);
    const out = new Uint8Array(8);
    expect(memory.readBytes(0xf_ffff_ffff_fff8n, out)).toBe(true);
    expect(out).toEqual(bytes(1, 2, 3, 4, 0x50, 0x60, 0x70, 0x80));
    expect(memory.read32(0xf_ffff, -4)).toBe(true);
    expect(memory.lo).toBe(0x8070_6050 | 0);
  });

  test('untouched RAM reads zero, and reading it does not make it written', () => {
    const memory = new SparseMemory();
    memory.lo = memory.hi = 7;
    expect(memory.read64(1, 0x4000)).toBe(true);
    expect([memory.lo, memory.hi]).toEqual([0, 0]);
    expect([...memory.written()]).toEqual([]);
    memory.write32(1, 0x4004, 5);
    expect(memory.read64(1, 0x4000)).toBe(true);
    expect([memory.lo, memory.hi]).toEqual([0, 5]);
    expect([...memory.written()].map((chunk) => chunk.start)).toEqual([0x1_0000_4000n]);
  });

  test('the same low half under another high half is another place', () => {
    const memory = new SparseMemory();
    for (let hi = 0; hi < 64; hi++) memory.write32(hi, 0x1234_5670, hi + 1);
    for (let hi = 0; hi < 64; hi++) {
      memory.read32(hi, 0x1234_5670);
      expect(memory.lo).toBe(hi + 1);
    }
  });

  test.each([
    ['above bit 51', 0x10_0000, 0],
    ['a negative high half', -1, 0],
    ['before RAM', 0, 0xffc],
    ['after RAM', 0, 0x1_1000],
  ])('%s aborts and changes nothing', (_title, hi, lo) => {
    const memory = new SparseMemory([{ start: 0x1000n, last: 0x1_0fffn }]);
    memory.lo = 1;
    expect(memory.read32(hi, lo)).toBe(false);
    expect(memory.read64(hi, lo & ~7)).toBe(false);
    expect(memory.write32(hi, lo, 1)).toBe(false);
    expect(memory.write64(hi, lo & ~7, 1, 1)).toBe(false);
    expect(memory.compareExchange64(hi, lo & ~7, 0, 0, 1, 1)).toBe(false);
    expect(memory.lo).toBe(1);
    expect([...memory.written()]).toEqual([]);
  });

  test('RAM may begin and end inside a chunk', () => {
    const memory = new SparseMemory([{ start: 0x1000n, last: 0x1fffn }]);
    expect(memory.write64(0, 0x1000, 1, 2)).toBe(true);
    expect(memory.write64(0, 0x1ff8, 1, 2)).toBe(true);
    expect(memory.read64(0, 0xff8)).toBe(false);
    expect(memory.read64(0, 0x2000)).toBe(false);
    expect(memory.readBytes(0x1ffcn, new Uint8Array(4))).toBe(true);
    expect(memory.readBytes(0x1ffdn, new Uint8Array(4))).toBe(false);
    expect(memory.readBytes((1n << 52n) - 2n, new Uint8Array(4))).toBe(false);
    expect(memory.readBytes(-1n, new Uint8Array(1))).toBe(false);
  });

  test('writeBytes crosses chunks, and writes all or nothing', () => {
    const memory = new SparseMemory();
    const data = Uint8Array.from({ length: 0x9001 }, (_, i) => i % 251);
    expect(memory.writeBytes(0x3fffn, data)).toBe(true);
    const out = new Uint8Array(data.length);
    memory.readBytes(0x3fffn, out);
    expect(out).toEqual(data);
    memory.poison(0x8000n, 0x8000n);
    expect(
      memory.writeBytes(
        0x3fffn,
        data.map(() => 0xee),
      ),
    ).toBe(false);
    memory.heal();
    memory.readBytes(0x3fffn, out);
    expect(out).toEqual(data);
  });

  test('poison reaches what was in use before it, and heals with the bytes kept', () => {
    const memory = new SparseMemory();
    const port = memory.port();
    memory.write64(0, 0x5000, 1, 2);
    expect(port.read64(0, 0x5000)).toBe(true);
    memory.poison(0x5004n, 0x5004n);
    expect(port.read64(0, 0x5000)).toBe(false);
    expect(memory.write32(0, 0x5004, 3)).toBe(false);
    expect(memory.read32(0, 0x5000)).toBe(true);
    expect(memory.read64(0, 0x5008)).toBe(true);
    memory.heal();
    expect(port.read64(0, 0x5000)).toBe(true);
    expect([port.hi, port.lo]).toEqual([1, 2]);
  });

  test('ports share bytes and not latches', () => {
    const memory = new SparseMemory();
    const port = memory.port();
    port.read32(0, 0x1000);
    memory.write32(0, 0x1000, 9);
    expect(port.lo).toBe(0);
    expect(port.read32(0, 0x1000)).toBe(true);
    expect([port.lo, memory.lo]).toEqual([9, 0]);
  });

  test('compareExchange64 swaps only on a match and shows what it found', () => {
    const memory = new SparseMemory();
    memory.write64(0, 8, -1, 5);
    expect(memory.compareExchange64(0, 8, -1, 4, 0, 0)).toBe(false);
    expect([memory.hi, memory.lo]).toEqual([-1, 5]);
    expect(memory.compareExchange64(0, 8, 0xffff_ffff, 5, 3, 4)).toBe(true);
    memory.read64(0, 8);
    expect([memory.hi, memory.lo]).toEqual([3, 4]);
  });

  test('a device takes the words written to it, and nothing else', () => {
    const memory = new SparseMemory();
    const seen: number[][] = [];
    memory.write32(0, 0x2040, 1);
    memory.attachDevice(0x2040n, 0x2047n, { write32: (offset, value) => seen.push([offset, value]) });
    expect(memory.write32(0, 0x2040, -1)).toBe(true);
    expect(memory.write64(0, 0x2040, 2, 1)).toBe(true);
    expect(memory.writeBytes(0x203en, bytes(1, 2, 3, 0, 0, 0, 4))).toBe(false);
    expect(memory.writeBytes(0x203en, bytes(1, 2, 3, 0, 0, 0))).toBe(true);
    expect(seen).toEqual([
      [0, 0xffff_ffff],
      [0, 1],
      [4, 2],
      [0, 3],
    ]);
    expect(memory.read32(0, 0x2040)).toBe(false);
    expect(memory.write32(0, 0x2048, 1)).toBe(true);
    expect(() => memory.attachDevice(0x2000n, 0x2040n, { write32() {} })).toThrow(RangeError);
  });
});
