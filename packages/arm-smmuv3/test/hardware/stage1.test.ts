import { describe, expect, test } from 'vitest';
import { BLOCK, CDS, type CdFields, S1_CD, S1_PAGE, S1_ROOT, S1_STE, SmmuBoard, WALK_4K } from './board.ts';

function unit(cd: CdFields = {}, config = {}): SmmuBoard {
  const board = SmmuBoard.running(config);
  board.ste(1, S1_STE);
  board.cd(CDS, { ...S1_CD, ...cd });
  return board;
}

/** Descriptor bits by name. */
const AP1 = 1n << 6n;
const AP2 = 1n << 7n;
const AF = 1n << 10n;
const CONTIGUOUS = 1n << 52n;
const PXN = 1n << 53n;
const UXN = 1n << 54n;

describe('geometry: granules, start levels and block sizes', () => {
  const walks: readonly (readonly [string, number, number, readonly number[]])[] = [
    // granule, TG0, TxSZ, shifts from the start level down
    ['4K, 48 bits, level 0', 0, 16, [39, 30, 21, 12]],
    ['4K, 40 bits, level 0', 0, 24, [39, 30, 21, 12]],
    ['4K, 39 bits, level 1', 0, 25, [30, 21, 12]],
    ['4K, 30 bits, level 2', 0, 34, [21, 12]],
    ['4K, 25 bits, level 2', 0, 39, [21, 12]],
    ['16K, 48 bits, level 0', 2, 16, [47, 36, 25, 14]],
    ['16K, 47 bits, level 1', 2, 17, [36, 25, 14]],
    ['16K, 36 bits, level 2', 2, 28, [25, 14]],
    ['16K, 25 bits, level 3', 2, 39, [14]],
    ['64K, 48 bits, level 1', 1, 16, [42, 29, 16]],
    ['64K, 42 bits, level 2', 1, 22, [29, 16]],
    ['64K, 29 bits, level 3', 1, 35, [16]],
  ];
  test.each(walks)('%s', (_title, TG0, T0SZ, shifts) => {
    const inputBits = 64 - T0SZ;
    const leafShift = shifts.at(-1)!;
    const iova = (0xdead_beef_cafe_f123n & ((1n << BigInt(inputBits)) - 1n)) | (1n << BigInt(inputBits - 1));
    const board = unit({ TG0, T0SZ });
    const low = (1n << BigInt(leafShift)) - 1n;
    board.map(S1_ROOT, shifts, iova, 0x1234_5678_0000n | S1_PAGE, inputBits - shifts[0]!);
    expect(board.dma(1, iova)).toEqual({
      outcome: 'translated',
      pa: (0x1234_5678_0000n & ~low) | (iova & low),
      rights: 3,
      lg2: leafShift,
    });
  });

  const blocks: readonly (readonly [string, number, readonly number[], boolean])[] = [
    ['4K level 0', 0, [39], false],
    ['4K level 1', 0, [39, 30], true],
    ['4K level 2', 0, [39, 30, 21], true],
    ['16K level 0', 2, [47], false],
    ['16K level 1', 2, [47, 36], false],
    ['16K level 2', 2, [47, 36, 25], true],
    ['64K level 1', 1, [42], false],
    ['64K level 2', 1, [42, 29], true],
  ];
  test.each(blocks)('block at %s', (_title, TG0, shifts, allowed) => {
    const iova = 0x7abc_def0_1234n;
    const board = unit({ TG0 });
    const lg2 = shifts.at(-1)!;
    const low = (1n << BigInt(lg2)) - 1n;
    // nT (bit 16) and the other bits below the block's size are no address.
    const leaf = (0x2000_0000_0000n & ~low) | BLOCK(S1_PAGE) | 0x1_0000n;
    board.map(S1_ROOT, shifts, iova, leaf, 48 - shifts[0]!);
    if (allowed) expect(board.dma(1, iova)).toMatchObject({ pa: (0x2000_0000_0000n & ~low) | (iova & low), lg2 });
    else expect(board.dma(1, iova).event).toBe('F_TRANSLATION');
  });

  test('type 01 at level 3 is nothing', () => {
    const board = unit();
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0x5000n | BLOCK(S1_PAGE));
    expect(board.dma(1, 0x1000n).event).toBe('F_TRANSLATION');
  });

  test('64 KiB: 52-bit output, input and table addresses, 4 TiB blocks', () => {
    const board = unit({ TG0: 1, T0SZ: 12, IPS: 6 }, { oas: 52, va52: true });
    const iova = 0xb_cdef_0123_4567n;
    // Bits 15:12 carry address bits 51:48.
    const high = (pa: bigint) => (pa & 0xffff_ffff_ffffn) | ((pa >> 48n) << 12n);
    const table = 0xa_0000_4000_0000n;
    board.put64(S1_ROOT + (iova >> 42n) * 8n, high(table) | 3n);
    board.put64(table + ((iova >> 29n) & 0x1fffn) * 8n, high(table + 0x1_0000n) | 3n);
    board.put64(table + 0x1_0000n + ((iova >> 16n) & 0x1fffn) * 8n, high(0xf_1234_5679_0000n) | S1_PAGE);
    expect(board.dma(1, iova)).toMatchObject({ pa: 0xf_1234_5679_4567n, lg2: 16 });
    const other = 0x1_2345_6789_abcdn;
    board.put64(S1_ROOT + (other >> 42n) * 8n, high(0x8_0000_0000_0000n) | BLOCK(S1_PAGE));
    expect(board.dma(1, other)).toMatchObject({ pa: 0x8_0000_0000_0000n | (other & 0x3ff_ffff_ffffn), lg2: 42 });
  });

  test('the root is aligned to its size', () => {
    const board = unit({ T0SZ: 25, TTB0: S1_ROOT + 0xff0n });
    board.map(S1_ROOT, [30, 21, 12], 0x1000n, 0x5000n | S1_PAGE);
    expect(board.dma(1, 0x1000n)).toMatchObject({ pa: 0x5000n });
  });

  test('the contiguous bit is a hint', () => {
    const board = unit();
    board.map(S1_ROOT, WALK_4K[3], 0x1_0000n, 0x5000n | S1_PAGE | CONTIGUOUS);
    expect(board.dma(1, 0x1_0008n)).toMatchObject({ pa: 0x5008n });
  });
});

describe('halves, ranges and TBI', () => {
  const UPPER: CdFields = { EPD1: false, T1SZ: 25, TG1: 2, TTB1: S1_ROOT + 0x10_0000n };
  const HIGH = 0xffff_ff80_0000_0000n;

  test('bit 55 picks the half', () => {
    const board = unit(UPPER);
    board.map(S1_ROOT, WALK_4K[3], 0x3000n, 0x1000n | S1_PAGE);
    board.map(S1_ROOT + 0x10_0000n, [30, 21, 12], 0x3000n, 0x2000n | S1_PAGE);
    expect(board.dma(1, 0x3000n)).toMatchObject({ pa: 0x1000n });
    expect(board.dma(1, HIGH + 0x3000n)).toMatchObject({ pa: 0x2000n });
    expect(board.dma(1, HIGH - 0x1000n).event).toBe('F_TRANSLATION');
    expect(board.dma(1, 0x1_0000_0000_3000n).event).toBe('F_TRANSLATION');
  });

  test('granules of the halves are their own', () => {
    for (const [TG1, shifts] of [
      [1, [36, 25, 14]],
      [3, [29, 16]],
    ] as const) {
      const board = unit({ ...UPPER, TG1 });
      board.map(S1_ROOT + 0x10_0000n, shifts, 0x4_0000n, 0x8_0000n | S1_PAGE, 39 - shifts[0]);
      expect(board.dma(1, HIGH + 0x4_0010n)).toMatchObject({ pa: 0x8_0010n });
    }
  });

  test('TBI ignores bits 63:56, and the record keeps them', () => {
    const board = unit({ ...UPPER, TBI0: true });
    board.map(S1_ROOT, WALK_4K[3], 0x3000n, 0x1000n | S1_PAGE);
    expect(board.dma(1, 0xab00_0000_0000_3000n)).toMatchObject({ pa: 0x1000n });
    expect(board.dma(1, 0xab01_0000_0000_3000n).event).toBe('F_TRANSLATION');
    const { record } = board.dma(1, 0xab00_0000_0000_4000n);
    expect(record!.slice(4, 6)).toEqual([0x4000, 0xab00_0000]);
    // TBI0 says nothing about half 1.
    expect(board.dma(1, 0x00ff_ff80_0000_3000n).event).toBe('F_TRANSLATION');
  });

  test('EPDx: a miss faults, what is cached still hits', () => {
    const board = unit();
    board.map(S1_ROOT, WALK_4K[3], 0x3000n, 0x1000n | S1_PAGE);
    board.map(S1_ROOT, WALK_4K[3], 0x4000n, 0x2000n | S1_PAGE);
    expect(board.dma(1, 0x3000n).outcome).toBe('translated');
    board.cd(CDS, { ...S1_CD, EPD0: true });
    board.command([5, 1, 1, 0]);
    expect(board.dma(1, 0x3000n).outcome).toBe('translated');
    expect(board.dma(1, 0x4000n).event).toBe('F_TRANSLATION');
  });
});

describe('permissions, IHI 0070 3.4 and Arm ARM D8.4', () => {
  const page = (bits: bigint): bigint => 0x5000n | 3n | AF | bits;
  const READ = 'read';
  const WRITE = 'write';
  const EXEC = 'execute';
  const rows: readonly (readonly [string, bigint, CdFields, string])[] = [
    // Six letters: unprivileged r w x, privileged r w x; '-' = refused.
    ['AP=00', 0n, {}, '--xrwx'],
    ['AP=01', AP1, {}, 'rwxrw-'],
    ['AP=10', AP2, {}, '--xr-x'],
    ['AP=11', AP1 | AP2, {}, 'r-xr-x'],
    ['UXN', AP1 | AP2 | UXN, {}, 'r--r-x'],
    ['PXN', AP1 | AP2 | PXN, {}, 'r-xr--'],
    ['PAN, AP=01', AP1, { PAN: true }, 'rwx---'],
    ['PAN, AP=10', AP2, { PAN: true }, '--xr-x'],
    ['WXN, AP=01', AP1, { WXN: true }, 'rw-rw-'],
    ['WXN, AP=00', 0n, { WXN: true }, '--xrw-'],
    ['WXN, AP=11', AP1 | AP2, { WXN: true }, 'r-xr-x'],
  ];
  test.each(rows)('%s', (_title, bits, cd, expected) => {
    const found = [false, true].flatMap((privileged) =>
      [READ, WRITE, EXEC].map((access, i) => {
        const board = unit(cd);
        board.map(S1_ROOT, WALK_4K[3], 0x1000n, page(bits));
        const options = { access: access as 'read', privileged };
        const { outcome, event } = board.dma(1, 0x1000n, options);
        // Warm and cold must agree.
        expect(board.dma(1, 0x1000n, options).outcome).toBe(outcome);
        if (outcome === 'fault') expect(event).toBe('F_PERMISSION');
        return outcome === 'fault' ? '-' : 'rwx'[i];
      }),
    );
    expect(found.join('')).toBe(expected);
  });

  const table = (bits: bigint, cd: CdFields): string => {
    const board = unit(cd);
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, page(AP1));
    const root = board.words(S1_ROOT, 2);
    board.put64(S1_ROOT, (BigInt(root[1]!) << 32n) | BigInt(root[0]!) | (bits << 59n));
    return [false, true]
      .flatMap((privileged) =>
        [READ, WRITE, EXEC].map((access, i) =>
          board.dma(1, 0x1000n, { access: access as 'read', privileged }).outcome === 'fault' ? '-' : 'rwx'[i],
        ),
      )
      .join('');
  };
  test.each([
    ['none', 0n, 'rwxrw-'],
    ['PXNTable', 1n, 'rwxrw-'],
    ['XNTable', 2n, 'rw-rw-'],
    ['APTable[0]: no unprivileged access', 4n, '--xrwx'],
    ['APTable[1]: no write', 8n, 'r-xr-x'],
    ['both', 12n, '--xr-x'],
  ] as const)('table attributes: %s', (_title, bits, expected) => {
    expect(table(bits, {})).toBe(expected);
    expect(table(bits, { HAD0: true })).toBe('rwxrw-');
  });

  test('EL2 without E2H: one privilege, AP[1] counts as 1, XN is bit 54', () => {
    const board = unit();
    board.ste(1, { ...S1_STE, STRW: 2 });
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, page(PXN));
    for (const privileged of [false, true])
      expect(board.dma(1, 0x1000n, { access: 'write', privileged })).toMatchObject({
        outcome: 'translated',
        rights: 3,
      });
    expect(board.dma(1, 0x1000n, { access: 'execute' })).toMatchObject({ outcome: 'translated', rights: 7 });
    board.map(S1_ROOT, WALK_4K[3], 0x2000n, page(UXN));
    expect(board.dma(1, 0x2000n, { access: 'execute', privileged: true }).event).toBe('F_PERMISSION');
  });

  test('PRIVCFG and INSTCFG override the request, also in the record', () => {
    const board = unit();
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, page(0n));
    board.ste(1, { ...S1_STE, PRIVCFG: 3 });
    expect(board.dma(1, 0x1000n).outcome).toBe('translated');
    board.ste(1, { ...S1_STE, PRIVCFG: 2, INSTCFG: 2 });
    board.command([3, 1, 1, 0]);
    // Data read, unprivileged: PnU = InD = 0, RnW = 1, CLASS = IN.
    expect(board.dma(1, 0x1000n, { access: 'execute', privileged: true }).record![3]).toBe(0x208);
    board.ste(1, { ...S1_STE, INSTCFG: 3 });
    board.command([3, 1, 1, 0]);
    expect(board.dma(1, 0x1000n).outcome).toBe('translated');
    // Writes are always data.
    expect(board.dma(1, 0x1000n, { access: 'write' }).record![3]).toBe(0x200);
  });
});

describe('fault order within the stage', () => {
  const refuse = (leaf: bigint, options = {}, cd: CdFields = {}) => {
    const board = unit(cd);
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, leaf);
    return board.dma(1, 0x1000n, options).event;
  };

  test('size before access flag before permission', () => {
    expect(refuse(0x1_0000_0000n | 3n, { access: 'write' }, { IPS: 0 })).toBe('F_ADDR_SIZE');
    expect(refuse(0x5000n | 3n | AP2, { access: 'write' })).toBe('F_ACCESS');
    expect(refuse(0x5000n | 3n | AP2 | AF, { access: 'write' })).toBe('F_PERMISSION');
    expect(refuse(0x5000n | 3n | AP1, {}, { AFFD: true })).toBeUndefined();
  });

  test('a table pointer beyond IPS', () => {
    const board = unit({ IPS: 1 });
    board.put64(S1_ROOT, 0x10_0000_0000n | 3n);
    expect(board.dma(1, 0x1000n)).toMatchObject({ event: 'F_ADDR_SIZE', record: [0x11, 1, 0, 0x208, 0x1000, 0, 0, 0] });
  });

  test('what faults is not cached: it may be made good without an invalidation', () => {
    const board = unit();
    const at = board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0n);
    expect(board.dma(1, 0x1000n).event).toBe('F_TRANSLATION');
    board.put64(at, 0x5000n | 3n | AP1);
    expect(board.dma(1, 0x1000n).event).toBe('F_ACCESS');
    board.put64(at, 0x5000n | 3n | AP1 | AF);
    expect(board.dma(1, 0x1000n)).toMatchObject({ pa: 0x5000n });
  });

  test('an abort of a table read: FetchAddr, stage 1, CLASS = TT', () => {
    const board = unit();
    const at = board.map(S1_ROOT, WALK_4K[3], 0x1008n, 0x5000n | S1_PAGE);
    board.memory.poison(at, at + 7n);
    expect(board.dma(1, 0x1008n, { access: 'execute', privileged: true })).toEqual({
      outcome: 'fault',
      event: 'F_WALK_EABT',
      // PnU InD RnW, CLASS=1
      record: [0xb, 1, 0, 0x10e, 0x1008, 0, Number(at & 0xffff_ffffn), Number(at >> 32n)],
    });
  });
});
