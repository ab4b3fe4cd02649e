import { describe, expect, test } from 'vitest';
import {
  BLOCK,
  CDS,
  NESTED_STE,
  S1_CD,
  S1_PAGE,
  S1_ROOT,
  S2_PAGE,
  S2_ROOT,
  S2_STE,
  SmmuBoard,
  type SteFields,
  WALK_4K,
} from './board.ts';

function unit(ste: SteFields = {}, config = {}): SmmuBoard {
  const board = SmmuBoard.running(config);
  board.ste(1, { ...S2_STE, ...ste });
  return board;
}

describe('start levels and concatenated roots, IHI 0070 5.2 (S2SL0) and Arm ARM D8.2', () => {
  const walks: readonly (readonly [string, SteFields, readonly number[], object])[] = [
    ['4K level 0, 48 bits', {}, [39, 30, 21, 12], {}],
    ['4K level 1, 39 bits', { S2T0SZ: 25, S2SL0: 1 }, [30, 21, 12], {}],
    ['4K level 1, 40 bits: 2 tables', { S2T0SZ: 24, S2SL0: 1 }, [30, 21, 12], {}],
    ['4K level 1, 43 bits: 16 tables', { S2T0SZ: 21, S2SL0: 1 }, [30, 21, 12], {}],
    ['4K level 2, 34 bits: 16 tables', { S2T0SZ: 30, S2SL0: 0 }, [21, 12], {}],
    ['16K level 1, 48 bits: 2 tables', { S2TG: 2, S2SL0: 2 }, [36, 25, 14], {}],
    ['16K level 2, 40 bits: 16 tables', { S2TG: 2, S2T0SZ: 24, S2SL0: 1 }, [25, 14], {}],
    ['16K level 3, 29 bits: 16 tables', { S2TG: 2, S2T0SZ: 35, S2SL0: 0 }, [14], {}],
    ['64K level 1, 48 bits', { S2TG: 1, S2SL0: 2 }, [42, 29, 16], {}],
    ['64K level 2, 46 bits: 16 tables', { S2TG: 1, S2T0SZ: 18, S2SL0: 1 }, [29, 16], {}],
    ['64K level 3, 33 bits: 16 tables', { S2TG: 1, S2T0SZ: 31, S2SL0: 0 }, [16], {}],
    ['64K level 1, 52 bits', { S2TG: 1, S2T0SZ: 12, S2SL0: 2, S2PS: 6 }, [42, 29, 16], { oas: 52 }],
  ];
  test.each(walks)('%s', (_title, ste, shifts, config) => {
    const board = unit(ste, config);
    const bits = 64 - (ste.S2T0SZ ?? 16);
    const ipa = (0xfedc_ba98_7654_3218n & ((1n << BigInt(bits)) - 1n)) | (1n << BigInt(bits - 1));
    const lg2 = shifts.at(-1)!;
    const low = (1n << BigInt(lg2)) - 1n;
    board.map(S2_ROOT, shifts, ipa, 0x1234_5678_0000n | S2_PAGE, bits - shifts[0]!);
    expect(board.dma(1, ipa)).toEqual({
      outcome: 'translated',
      pa: (0x1234_5678_0000n & ~low) | (ipa & low),
      rights: 3,
      lg2,
    });
    if (bits < 48)
      expect(board.dma(1, 1n << BigInt(bits))).toMatchObject({ event: 'F_TRANSLATION', record: { 3: 0x288 } });
  });

  test.each([
    ['4K level 2 with 35 bits', { S2T0SZ: 29, S2SL0: 0 }],
    ['16K level 0', { S2TG: 2, S2SL0: 3 }],
    ['16K level 3 with 30 bits', { S2TG: 2, S2T0SZ: 34, S2SL0: 0 }],
    ['64K level 2 with 47 bits', { S2TG: 1, S2T0SZ: 17, S2SL0: 1 }],
  ] as const)('illegal: %s', (_title, ste) => {
    expect(unit(ste).dma(1, 0n).event).toBe('C_BAD_STE');
  });

  test('a concatenated root is aligned to all of it', () => {
    const board = unit({ S2T0SZ: 24, S2SL0: 1, S2TTB: S2_ROOT + 0x1000n });
    board.map(S2_ROOT, [30, 21, 12], 0x1000n, 0x5000n | S2_PAGE, 10);
    expect(board.dma(1, 0x1000n)).toMatchObject({ pa: 0x5000n });
  });
});

describe('stage-2 faults', () => {
  const at = 0x12_3456_7abcn;
  const record = (code: number, attributes: number) => [code, 1, 0, attributes, 0x3456_7abc, 0x12, 0x3456_7000, 0x12];
  const rows: readonly (readonly [string, bigint, 'read' | 'write' | 'execute', string, number[]])[] = [
    ['nothing', 0n, 'read', 'F_TRANSLATION', record(0x10, 0x288)],
    ['size', 0x1_0000_0000n | S2_PAGE, 'read', 'F_ADDR_SIZE', record(0x11, 0x288)],
    ['access flag', 0x5000n | (S2_PAGE & ~0x400n), 'write', 'F_ACCESS', record(0x12, 0x280)],
    ['read', 0x5000n | (S2_PAGE & ~0x40n), 'read', 'F_PERMISSION', record(0x13, 0x288)],
    ['write', 0x5000n | (S2_PAGE & ~0x80n), 'write', 'F_PERMISSION', record(0x13, 0x280)],
    ['execute', 0x5000n | S2_PAGE | (2n << 53n), 'execute', 'F_PERMISSION', record(0x13, 0x28c)],
  ];
  test.each(rows)('%s', (_title, leaf, access, event, words) => {
    const board = unit({ S2PS: 0 });
    board.map(S2_ROOT, WALK_4K[3], at, leaf);
    const expected = { outcome: 'fault', event, record: words };
    expect(board.dma(1, at, { access })).toEqual(expected);
    // The same from the cache, where the page itself is fit to be cached.
    expect(board.dma(1, at, { access })).toEqual(expected);
  });

  test('S2R = 0 keeps stage-2 faults unrecorded', () => {
    const board = unit({ S2R: false });
    expect(board.dma(1, at)).toEqual({ outcome: 'fault', event: 'F_TRANSLATION', record: [] });
    expect(board.get('EVENTQ_PROD')).toBe(0n);
  });

  test('S2AFFD', () => {
    const board = unit({ S2AFFD: true });
    board.map(S2_ROOT, WALK_4K[3], at, 0x5000n | (S2_PAGE & ~0x400n));
    expect(board.dma(1, at).outcome).toBe('translated');
  });

  test('XN[1:0]: with XNX by privilege', () => {
    const letters = [0n, 1n, 2n, 3n].map((xn) => {
      const board = unit();
      board.map(S2_ROOT, WALK_4K[3], at, 0x5000n | S2_PAGE | (xn << 53n));
      return [false, true].map(
        (privileged) => board.dma(1, at, { access: 'execute', privileged }).outcome === 'translated',
      );
    });
    expect(letters).toEqual([
      [true, true],
      [true, false],
      [false, false],
      [false, true],
    ]);
  });

  test('an abort of a table read: S2 = 1, CLASS = IN', () => {
    const board = unit();
    board.memory.poison(S2_ROOT, S2_ROOT + 7n);
    expect(board.dma(1, 0x1000n)).toMatchObject({
      event: 'F_WALK_EABT',
      record: [0xb, 1, 0, 0x288, 0x1000, 0, Number(S2_ROOT), 0],
    });
  });

  test('beyond IAS: the size fault of stage 1, always recorded', () => {
    const board = unit({ S2R: false, S2T0SZ: 24, S2SL0: 1 }, { oas: 40 });
    expect(board.dma(1, 0x100_0000_0000n)).toMatchObject({
      event: 'F_ADDR_SIZE',
      record: [0x11, 1, 0, 0x208, 0, 0x100, 0, 0],
    });
  });

  test('blocks', () => {
    const board = unit();
    board.map(S2_ROOT, WALK_4K[2], at, 0x4000_0000n | BLOCK(S2_PAGE));
    expect(board.dma(1, at)).toMatchObject({ pa: 0x4000_0000n | (at & 0x1f_ffffn), lg2: 21 });
  });
});

describe('nested', () => {
  const IOVA = 0x7777_1000n;
  const IPA = 0x9_8765_4000n;
  const PA = 0x1_1111_1000n;

  /** Stage-1 tables in IPA space at the same physical addresses; stage 2 maps what the walk needs page by page. */
  function nested(ste: SteFields = {}): { board: SmmuBoard; leaf: bigint; s2: Map<bigint, bigint> } {
    const board = SmmuBoard.running();
    board.ste(1, { ...NESTED_STE, ...ste });
    board.cd(CDS, S1_CD);
    const leaf = board.map(S1_ROOT, WALK_4K[3], IOVA, IPA | S1_PAGE);
    const s2 = new Map<bigint, bigint>();
    const identity = (page: bigint) => s2.set(page, board.map(S2_ROOT, WALK_4K[3], page, page | S2_PAGE));
    identity(CDS);
    for (let table = S1_ROOT, i = 0; i < 4; i++) {
      identity(table);
      const index = (IOVA >> BigInt(WALK_4K[3][i]!)) & 511n;
      const [lo, hi] = board.words(table + index * 8n, 2);
      table = ((BigInt(hi!) << 32n) | BigInt(lo!)) & 0xffff_ffff_f000n;
    }
    s2.set(IPA, board.map(S2_ROOT, WALK_4K[3], IPA, PA | S2_PAGE));
    return { board, leaf, s2 };
  }
  const lowHigh = (address: bigint) => [Number(address & 0xffff_f000n), Number(address >> 32n)];

  test('24 loads and the smaller page', () => {
    const { board } = nested();
    board.dma(1, IOVA);
    board.command([0x30, 0, 0, 0]);
    const seen: string[] = [];
    board.hardware.probe = { structure: (what) => void seen.push(what) };
    expect(board.dma(1, IOVA + 8n)).toEqual({ outcome: 'translated', pa: PA + 8n, rights: 3, lg2: 12 });
    expect(seen.length).toBe(24);
    expect(seen.slice(0, 5)).toEqual([
      'stage 2 level 0 descriptor',
      'stage 2 level 1 descriptor',
      'stage 2 level 2 descriptor',
      'stage 2 level 3 descriptor',
      'stage 1 level 0 descriptor',
    ]);
    expect(board.dma(1, IOVA + 8n).outcome).toBe('translated');
    expect(seen.length).toBe(24);
  });

  test('CD fetch through stage 2: CLASS = CD, the structure’s IPA', () => {
    const { board, s2 } = nested();
    board.put64(s2.get(CDS)!, 0n);
    expect(board.dma(1, IOVA)).toMatchObject({
      event: 'F_TRANSLATION',
      record: [0x10, 1, 0, 0x088, 0x7777_1000, 0, ...lowHigh(CDS)],
    });
    board.put64(s2.get(CDS)!, CDS | (S2_PAGE & ~0x40n));
    // CLASS = CD has no TTRnW.
    expect(board.dma(1, IOVA, { access: 'write' })).toMatchObject({
      event: 'F_PERMISSION',
      record: [0x13, 1, 0, 0x080, 0x7777_1000, 0, ...lowHigh(CDS)],
    });
  });

  test('a stage-1 table that stage 2 refuses: CLASS = TT, and TTRnW with a permission fault', () => {
    for (const [leaf, event, attributes] of [
      [0n, 'F_TRANSLATION', 0x180],
      [S1_ROOT | (S2_PAGE & ~0x400n), 'F_ACCESS', 0x180],
      [S1_ROOT | (S2_PAGE & ~0x40n), 'F_PERMISSION', 0x1180],
    ] as const) {
      const { board, s2 } = nested();
      board.put64(s2.get(S1_ROOT)!, leaf);
      const { event: found, record } = board.dma(1, IOVA, { access: 'write' });
      expect([found, record![3], ...record!.slice(6)]).toEqual([event, attributes, ...lowHigh(S1_ROOT)]);
    }
  });

  test('S2PTW: tables and CDs must not lie in stage-2 Device memory', () => {
    const device = (page: bigint) => page | (S2_PAGE & ~0x3cn) | 4n;
    for (const [S2PTW, what, expected] of [
      [true, 'table', 'F_PERMISSION'],
      [false, 'table', undefined],
      [true, 'cd', 'F_PERMISSION'],
      [true, 'page', undefined],
    ] as const) {
      const { board, s2 } = nested({ S2PTW });
      const page = { table: S1_ROOT, cd: CDS, page: IPA }[what];
      board.put64(s2.get(page)!, device(what === 'page' ? PA : page));
      expect([what, board.dma(1, IOVA).event]).toEqual([what, expected]);
    }
  });

  test('the input’s IPA: CLASS = IN', () => {
    const { board, s2 } = nested();
    board.put64(s2.get(IPA)!, 0n);
    expect(board.dma(1, IOVA + 0x123n)).toMatchObject({
      event: 'F_TRANSLATION',
      record: [0x10, 1, 0, 0x288, 0x7777_1123, 0, ...lowHigh(IPA)],
    });
  });

  test('stage 1 speaks first: its permission before the final stage 2', () => {
    const { board, leaf, s2 } = nested();
    board.put64(leaf, IPA | S1_PAGE | 0x80n);
    board.put64(s2.get(IPA)!, 0n);
    expect(board.dma(1, IOVA, { access: 'write' })).toMatchObject({ event: 'F_PERMISSION', record: { 3: 0x200 } });
    expect(board.dma(1, IOVA).event).toBe('F_TRANSLATION');
  });

  test('rights are what both stages leave, and a hit blames the right stage', () => {
    const { board, s2 } = nested();
    board.put64(s2.get(IPA)!, PA | (S2_PAGE & ~0x80n));
    expect(board.dma(1, IOVA)).toMatchObject({ rights: 1 });
    const refused = board.dma(1, IOVA + 4n, { access: 'write' });
    expect(refused).toMatchObject({
      event: 'F_PERMISSION',
      record: [0x13, 1, 0, 0x280, 0x7777_1004, 0, ...lowHigh(IPA)],
    });
  });

  test('stage-2 faults follow S2R, stage-1 faults CD.R', () => {
    const { board, s2, leaf } = nested({ S2R: false });
    board.put64(s2.get(IPA)!, 0n);
    expect(board.dma(1, IOVA)).toMatchObject({ event: 'F_TRANSLATION', record: [] });
    board.put64(leaf, 0n);
    expect(board.dma(1, IOVA)).toMatchObject({ event: 'F_TRANSLATION', record: { 3: 0x208 } });
    board.cd(CDS, { ...S1_CD, R: false });
    board.command([5, 1, 1, 0]);
    expect(board.dma(1, IOVA)).toMatchObject({ event: 'F_TRANSLATION', record: [] });
  });

  test('S1DSS = bypass: the input is the IPA', () => {
    const { board } = nested({ S1CDMax: 2, S1DSS: 1 });
    expect(board.dma(1, IPA + 16n)).toMatchObject({ outcome: 'translated', pa: PA + 16n });
    expect(board.dma(1, IOVA)).toMatchObject({ event: 'F_TRANSLATION', record: { 3: 0x288 } });
  });

  test('pages smaller at stage 2 than at stage 1', () => {
    const { board } = nested();
    board.map(S1_ROOT, WALK_4K[2], 0x4000_0000n, 0x6000_0000n | BLOCK(S1_PAGE));
    for (let i = 0n; i < 3n; i++)
      board.map(S2_ROOT, WALK_4K[3], 0x6000_0000n + i * 0x1000n, ((0x100n - i) * 0x1000n) | S2_PAGE);
    // The level-2 table is new to stage 2.
    const table = board.words(S1_ROOT, 2)[0]! & ~0xfff;
    const [lo] = board.words(BigInt(table) + 8n, 2);
    board.map(S2_ROOT, WALK_4K[3], BigInt(lo! & ~0xfff), BigInt(lo! & ~0xfff) | S2_PAGE);
    for (let i = 0n; i < 3n; i++)
      expect(board.dma(1, 0x4000_0000n + i * 0x1000n)).toMatchObject({ pa: (0x100n - i) * 0x1000n, lg2: 12 });
  });
});
