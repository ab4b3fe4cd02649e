import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DumpError, DumpMemory, type DumpSource } from '../../src/index.ts';
import { elf, type LoadSegment, tempFile } from '../support/elf.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);

const pattern = (length: number, seed = 0) => Uint8Array.from({ length }, (_, i) => (i * 13 + seed + (i >> 8)) & 0xff);

function open(...sources: DumpSource[]): DumpMemory {
  const memory = DumpMemory.open(sources, { cacheBytes: 1 << 20 });
  onTestFinished(() => memory.close());
  return memory;
}

const openElf = (...segments: LoadSegment[]) => open({ file: tempFile('m.elf', elf(segments)) });

function bytesAt(memory: DumpMemory, pa: bigint, length: number): Uint8Array | null {
  const bytes = new Uint8Array(length);
  return memory.readBytes(pa, bytes) ? bytes : null;
}

describe('ELF core files', () => {
  test('are addressed by p_paddr, and abort elsewhere', () => {
    const memory = openElf(
      { paddr: 0x4000_0000n, data: pattern(0x9000) },
      { paddr: 0x8_0000_1000n, data: pattern(64, 5) },
    );
    expect(bytesAt(memory, 0x4000_0000n, 0x9000)).toEqual(pattern(0x9000));
    expect(memory.read64(0, 0x4000_0008)).toBe(true);
    expect([memory.lo, memory.hi]).toEqual([0x8f82_7568 | 0, 0xc3b6_a99c | 0]);
    expect(memory.read32(8, 0x103c)).toBe(true);
    expect(memory.lastAbort).toBeNull();
    expect(memory.read32(8, 0x1040)).toBe(false);
    expect(memory.lastAbort).toBe(0x8_0000_1040n);
    expect(memory.read64(0, 0x3fff_fff8)).toBe(false);
    expect(memory.read64(0x10_0000, 0)).toBe(false);
    expect(bytesAt(memory, 0x4000_8ff0n, 0x11)).toBeNull();
    expect(memory.regions).toEqual([
      { start: 0x4000_0000n, last: 0x4000_8fffn },
      { start: 0x8_0000_1000n, last: 0x8_0000_103fn },
    ]);
  });

  test('memory past p_filesz is zero', () => {
    const memory = openElf({ paddr: 0x1000n, data: pattern(0x20, 1), memsz: 0x2_0000n });
    expect(bytesAt(memory, 0x1000n, 0x20)).toEqual(pattern(0x20, 1));
    expect(bytesAt(memory, 0x1020n, 0x1_ffe0)).toEqual(new Uint8Array(0x1_ffe0));
    expect(memory.read32(0, 0x2_1000)).toBe(false);
    const bss = openElf({ paddr: 0n, data: new Uint8Array(0), memsz: 8n, offset: 0xffff_ffff_ffffn });
    expect(bss.read64(0, 0)).toBe(true);
  });

  test('other segments, empty ones and those without physical address are passed over', () => {
    const memory = openElf(
      { type: 4, paddr: 0n, data: pattern(16) },
      { paddr: 0x500n, data: new Uint8Array(0) },
      { paddr: (1n << 64n) - 1n, data: pattern(16) },
      { paddr: (1n << 52n) - 8n, data: pattern(8) },
    );
    expect(memory.regions).toEqual([{ start: (1n << 52n) - 8n, last: (1n << 52n) - 1n }]);
    expect(memory.read64(0xf_ffff, -8)).toBe(true);
  });

  test('more program headers than e_phnum can say (PN_XNUM)', () => {
    const count = 0x1_0005;
    const segments = Array.from({ length: count }, (_, i) => ({
      paddr: BigInt(i * 16),
      data: Uint8Array.of(i & 0xff),
    }));
    const memory = open({ file: tempFile('x.elf', elf(segments, { xnum: true })) });
    expect(memory.regions).toHaveLength(count);
    expect(bytesAt(memory, BigInt((count - 1) * 16), 1)).toEqual(Uint8Array.of(4));
  });

  test('where segments overlap, the first wins', () => {
    const memory = openElf(
      { paddr: 0x1010n, data: pattern(0x10, 1) },
      { paddr: 0x1040n, data: pattern(0x10, 2) },
      { paddr: 0x1000n, data: pattern(0x80, 3) },
    );
    const expected = pattern(0x80, 3);
    expected.set(pattern(0x10, 1), 0x10);
    expected.set(pattern(0x10, 2), 0x40);
    expect(bytesAt(memory, 0x1000n, 0x80)).toEqual(expected);
  });

  test('several files, an ELF over raw bytes', () => {
    const memory = open(
      { file: tempFile('a.elf', elf([{ paddr: 0x2000n, data: pattern(16, 9) }])) },
      { file: tempFile('b.bin', pattern(0x1001)), base: 0x1800n },
    );
    expect(bytesAt(memory, 0x2000n, 16)).toEqual(pattern(16, 9));
    expect(bytesAt(memory, 0x2010n, 4)).toEqual(pattern(0x1001).subarray(0x810, 0x814));
    expect(bytesAt(memory, 0x2800n, 1)).toEqual(pattern(0x1001).subarray(0x1000));
    expect(bytesAt(memory, 0x2801n, 1)).toBeNull();
  });
});

describe('the overlay', () => {
  test('takes writes; the file never changes', () => {
    const image = elf([{ paddr: 0x1000n, data: pattern(0x8000) }]);
    const file = tempFile('o.elf', image);
    const memory = open({ file });
    expect(memory.write64(0, 0x4000, -1, 7)).toBe(true);
    expect(memory.write32(0, 0x1000, 3)).toBe(true);
    expect(memory.writeBytes(0x3ffen, pattern(4, 77))).toBe(true);
    expect(memory.compareExchange64(0, 0x4008, 0, 0, 0, 0)).toBe(false);
    expect(memory.writeBytes(0x8ffen, pattern(4))).toBe(false);
    expect(memory.write32(0, 0x9000, 1)).toBe(false);
    const expected = pattern(0x8000);
    expected.set([3, 0, 0, 0], 0);
    expected.set([7, 0, 0, 0, 255, 255, 255, 255], 0x3000);
    expected.set(pattern(4, 77), 0x2ffe);
    expect(bytesAt(memory, 0x1000n, 0x8000)).toEqual(expected);
    expect(new Uint8Array(readFileSync(file))).toEqual(image);
  });

  test('outlives the cache', () => {
    const memory = open({ file: tempFile('c.bin', pattern(4 << 20)), base: 0n });
    for (let pa = 0; pa < 4 << 20; pa += 0x4000) memory.write32(0, pa, ~pa);
    for (let round = 0; round < 2; round++) {
      for (let pa = 0; pa < 4 << 20; pa += 0x4000) {
        expect(memory.read32(0, pa) && memory.lo).toBe(~pa);
        memory.read32(0, pa + 4);
        expect(memory.lo & 0xff).toBe(pattern(8 + (pa & 0xff), pa >> 8)[4]);
      }
    }
  });

  test('any accesses agree with a plain array', () => {
    const image = pattern(0xa000, 3);
    const file = tempFile('p.elf', elf([{ paddr: 0x1_0010n, data: image.slice(0, 0x6ff0), memsz: 0x9ff0n }]));
    image.fill(0, 0x6ff0, 0x9ff0);
    const access = fc.record({
      write: fc.boolean(),
      size: fc.constantFrom(4, 8, 3, 0x4001),
      at: fc.oneof(fc.nat(0xa100), fc.constantFrom(0, 0xffe8, 0x9fe0, 0x9fe8, 0x9fec, 0x9ff0, 0x3ff8, 0x3fec)),
      value: fc.integer(),
    });
    const memory = DumpMemory.open([{ file }], { cacheBytes: 0x8000 });
    onTestFinished(() => memory.close());
    fc.assert(
      fc.property(access, ({ write, size, at, value }) => {
        const aligned = size === 4 || size === 8 ? at - ((0x1_0010 + at) % size) : at;
        const inside = aligned >= 0 && aligned + size <= 0x9ff0;
        const pa = 0x1_0010 + aligned;
        const bytes = new Uint8Array(size).fill(value);
        const word = Math.imul(value & 0xff, 0x0101_0101);
        const done =
          size === 4
            ? write
              ? memory.write32(0, pa, word)
              : memory.read32(0, pa)
            : size === 8
              ? write
                ? memory.write64(0, pa, word, word)
                : memory.read64(0, pa)
              : write
                ? memory.writeBytes(BigInt(pa), bytes)
                : memory.readBytes(BigInt(pa), bytes);
        expect(done).toBe(inside);
        if (!inside) return;
        if (write) image.set(bytes, aligned);
        const view = new DataView(image.buffer);
        if (!write && size === 4) expect(memory.lo).toBe(view.getInt32(aligned, true));
        if (!write && size === 8) expect(memory.hi).toBe(view.getInt32(aligned + 4, true));
        if (!write && (size & 3) !== 0) expect(Buffer.compare(bytes, image.subarray(aligned, aligned + size))).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('size', () => {
  test('a 64 GiB sparse dump is not loaded whole', () => {
    const size = 64 * 2 ** 30;
    const file = tempFile('big.bin', Uint8Array.of(1));
    const fd = openSync(file, 'r+');
    ftruncateSync(fd, size);
    writeSync(fd, Uint8Array.of(0xaa, 0xbb), 0, 2, size - 2);
    closeSync(fd);
    const memory = open({ file, base: 0x10_0000_0000n });
    for (let gib = 0; gib < 64; gib++)
      for (let i = 0; i < 64; i++) memory.read64((0x10_0000_0000 + gib * 2 ** 30) / 2 ** 32, (gib << 30) | (i << 16));
    expect(memory.cachedBytes).toBeLessThanOrEqual(1 << 20);
    expect(bytesAt(memory, 0x10_0000_0000n + BigInt(size) - 2n, 2)).toEqual(Uint8Array.of(0xaa, 0xbb));
    expect(bytesAt(memory, 0x10_0000_0000n, 2)).toEqual(Uint8Array.of(1, 0));
    expect(bytesAt(memory, 0x10_0000_0000n + BigInt(size), 1)).toBeNull();
  });

  test('a file that shrinks while it is open aborts', () => {
    const file = tempFile('s.bin', pattern(0x1_0000));
    const memory = open({ file, base: 0n });
    expect(memory.read32(0, 0)).toBe(true);
    const fd = openSync(file, 'r+');
    ftruncateSync(fd, 0x4000);
    closeSync(fd);
    expect(memory.read32(0, 0)).toBe(true);
    expect(memory.read32(0, 0x8000)).toBe(false);
    expect(memory.lastAbort).toBe(0x8000n);
  });
});

describe('malformed files', () => {
  const good = () => elf([{ paddr: 0x1000n, data: pattern(0x100) }]);
  const patched = (offset: number, ...bytes: number[]) => {
    const file = good();
    file.set(bytes, offset);
    return file;
  };

  const xnumCut = () => {
    const file = patched(56, 0xff, 0xff);
    file.set([0x70, 1], 40);
    return file;
  };

  test.each<[string, Uint8Array, number | null, RegExp]>([
    ['empty', new Uint8Array(0), 0, /truncated: ELF magic/],
    ['not ELF', pattern(64), 0, /not an ELF file/],
    ['cut in the file header', good().subarray(0, 63), 0, /truncated: ELF header/],
    ['32-bit', patched(4, 1), 4, /not 64-bit ELF/],
    ['big-endian', patched(5, 2), 5, /not little-endian/],
    ['ELF version', patched(6, 9), 6, /version/],
    ['an executable', patched(16, 2), 16, /not a core file/],
    ['entry size', patched(54, 32), 54, /e_phentsize: 32, expected 56/],
    ['table past the end', patched(32, 0, 0, 0, 1), 32, /e_phoff 0x1000000 lies past/],
    ['table cut', good().subarray(0, 100), 64, /1 program headers do not fit/],
    ['huge table', patched(56, 0xfe, 0xff), 64, /65534 program headers/],
    ['PN_XNUM without section header', patched(56, 0xff, 0xff), 40, /no section header/],
    ['PN_XNUM with section header cut', xnumCut(), 0x170, /truncated: section header 0/],
    ['no segment', elf([]), 64, /no PT_LOAD/],
    ['filesz above memsz', elf([{ paddr: 0n, data: pattern(16), memsz: 8n }]), 64, /p_filesz is greater/],
    [
      'data past the end',
      elf([{ paddr: 0x2000n, data: pattern(16), filesz: 17n, memsz: 17n }]),
      64,
      /segment at 0x2000/,
    ],
    ['offset past 2^63', elf([{ paddr: 0n, data: pattern(8), offset: 1n << 63n }]), 64, /truncated: segment/],
    ['above bit 51', elf([{ paddr: (1n << 52n) - 4n, data: pattern(8) }]), 64, /past bit 51/],
    ['size wraps', elf([{ paddr: 0n, data: pattern(8), memsz: (1n << 64n) - 1n }]), 64, /past bit 51/],
  ])('%s', (_title, bytes, offset, message) => {
    const file = tempFile('bad.elf', bytes);
    let error: unknown;
    try {
      DumpMemory.open([{ file }]);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(DumpError);
    const { message: text, offset: at } = error as DumpError;
    expect(text).toMatch(message);
    expect(text).not.toContain('\n');
    expect(text.startsWith(file)).toBe(true);
    expect(at).toBe(offset);
  });

  test('missing files, directories, empty and far raw files', () => {
    expect(() => DumpMemory.open([{ file: '/nonexistent/m.elf' }])).toThrow(/^\/nonexistent\/m.elf: no such file$/);
    expect(() => DumpMemory.open([{ file: process.cwd() }])).toThrow(/not a regular file/);
    expect(() => DumpMemory.open([{ file: tempFile('e.bin', new Uint8Array(0)), base: 0n }])).toThrow(/empty file/);
    const file = tempFile('f.bin', pattern(8));
    expect(() => DumpMemory.open([{ file, base: (1n << 52n) - 7n }])).toThrow(/past bit 51/);
    expect(() => DumpMemory.open([{ file, base: -1n }])).toThrow(DumpError);
  });

  test('any damage to the headers is a DumpError or a memory that answers', () => {
    const base = elf([
      { paddr: 0x1000n, data: pattern(0x40) },
      { paddr: 0x1020n, data: pattern(0x40, 1), memsz: 0x4000n },
    ]);
    const file = tempFile('fuzz.elf', base);
    const fd = openSync(file, 'r+');
    onTestFinished(() => closeSync(fd));
    const damage = fc.array(fc.tuple(fc.nat(64 + 2 * 56 - 1), fc.constantFrom(0, 1, 0x10, 0x7f, 0x80, 0xff)), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(damage, (patches) => {
        const bytes = base.slice();
        for (const [at, value] of patches) bytes[at] = value;
        writeSync(fd, bytes, 0, bytes.length, 0);
        let memory: DumpMemory;
        try {
          memory = DumpMemory.open([{ file }]);
        } catch (error) {
          expect(error).toBeInstanceOf(DumpError);
          return;
        }
        for (const { start, last } of memory.regions.slice(0, 3)) {
          expect(memory.readBytes(start, new Uint8Array(1))).toBe(true);
          expect(memory.readBytes(last, new Uint8Array(1))).toBe(true);
        }
        memory.close();
      }),
      { numRuns: RUNS },
    );
  });
});
