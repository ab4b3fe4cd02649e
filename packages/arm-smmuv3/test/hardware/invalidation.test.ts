import { describe, expect, test } from 'vitest';
import {
  BLOCK,
  CDS,
  NESTED_STE,
  S1_CD,
  S1_PAGE,
  S1_ROOT,
  S1_STE,
  S2_PAGE,
  S2_ROOT,
  S2_STE,
  SmmuBoard,
  WALK_4K,
} from './board.ts';

const A = 0x4_0000_1000n;
const B = 0x4_0000_2000n;
const NG = 0x800n;
const OLD = 0x5000n;
const NEW = 0x9000n;

/** A TLBI by address: VMID, ASID, Leaf, and the range fields of IHI 0070 4.4.1. */
function by(
  op: number,
  address: bigint,
  f: { vmid?: number; asid?: number; tg?: number; ttl?: number; num?: number; scale?: number; leaf?: number } = {},
): number[] {
  const { vmid = 0, asid = 0, tg = 0, ttl = 0, num = 0, scale = 0, leaf = 1 } = f;
  const low = Number(address & 0xffff_f000n);
  return [
    op | (num << 12) | (scale << 20),
    vmid | (asid << 16),
    low | leaf | (ttl << 8) | (tg << 10),
    Number((address >> 32n) & 0xffff_ffffn),
  ];
}
const NH_ALL = (vmid: number) => [0x10, vmid, 0, 0];
const NH_ASID = (vmid: number, asid: number) => [0x11, vmid | (asid << 16), 0, 0];
const VMALL = (vmid: number) => [0x28, vmid, 0, 0];
const NSNH = [0x30, 0, 0, 0];
const CFGI_ALL = [4, 0, 31, 0];

/** Three kinds of stream over tables in which every page is warm and has moved since. */
function moved(kind: 'stage 1' | 'stage 2' | 'nested', leafBits = NG, config = {}): SmmuBoard {
  const board = SmmuBoard.running(config);
  const stage1 = kind !== 'stage 2';
  const ste = { 'stage 1': { ...S1_STE, S2VMID: 3 }, 'stage 2': S2_STE, nested: NESTED_STE }[kind];
  board.ste(1, ste);
  board.cd(CDS, S1_CD);
  const page = stage1 ? S1_PAGE | leafBits : S2_PAGE;
  const root = stage1 ? S1_ROOT : S2_ROOT;
  const identity = [CDS, S1_ROOT, OLD, NEW, 0x1000_0000n];
  if (kind === 'nested')
    for (const ipa of identity) board.map(S2_ROOT, WALK_4K[2], ipa, (ipa & ~0x1f_ffffn) | BLOCK(S2_PAGE));
  if (kind === 'nested')
    for (let i = 0n; i < 8n; i++)
      board.map(S2_ROOT, WALK_4K[2], 0x1000_0000n + i * 0x20_0000n, (0x1000_0000n + i * 0x20_0000n) | BLOCK(S2_PAGE));
  for (const iova of [A, B]) board.map(root, WALK_4K[3], iova, OLD | page);
  for (const iova of [A, B]) expect(board.dma(1, iova)).toMatchObject({ pa: OLD });
  for (const iova of [A, B]) board.map(root, WALK_4K[3], iova, NEW | page);
  for (const iova of [A, B]) expect(board.dma(1, iova)).toMatchObject({ pa: OLD });
  return board;
}

/** Which of A and B the command made the unit forget. */
function gone(board: SmmuBoard, command: readonly number[]): string {
  board.command(command);
  return [A, B].map((iova, i) => (board.dma(1, iova).pa === NEW ? 'AB'[i] : '-')).join('');
}

describe('stage-1 entries: tags {VMID, ASID unless global, VA}', () => {
  const rows: readonly (readonly [string, bigint, number[], string])[] = [
    ['NH_VA', NG, by(0x12, A, { vmid: 3, asid: 7 }), 'A-'],
    ['NH_VA, another ASID', NG, by(0x12, A, { vmid: 3, asid: 8 }), '--'],
    ['NH_VA, another VMID', NG, by(0x12, A, { vmid: 4, asid: 7 }), '--'],
    ['NH_VA, global, another ASID', 0n, by(0x12, A, { vmid: 3, asid: 8 }), 'A-'],
    ['NH_VA, global, another VMID', 0n, by(0x12, A, { vmid: 0, asid: 7 }), '--'],
    ['NH_VAA', NG, by(0x13, B, { vmid: 3 }), '-B'],
    ['NH_VAA, global', 0n, by(0x13, B, { vmid: 3 }), '-B'],
    ['NH_ASID', NG, NH_ASID(3, 7), 'AB'],
    ['NH_ASID, another', NG, NH_ASID(3, 6), '--'],
    ['NH_ASID, global', 0n, NH_ASID(3, 7), '--'],
    ['NH_ALL', NG, NH_ALL(3), 'AB'],
    ['NH_ALL, global', 0n, NH_ALL(3), 'AB'],
    ['NH_ALL, another VMID', NG, NH_ALL(0), '--'],
    ['S12_VMALL', 0n, VMALL(3), 'AB'],
    ['NSNH_ALL', 0n, NSNH, 'AB'],
    ['S2_IPA', NG, by(0x2a, A, { vmid: 3 }), '--'],
    ['EL2_ALL', NG, [0x20, 0, 0, 0], '--'],
    ['CFGI_ALL drops no translation', NG, CFGI_ALL, '--'],
  ];
  test.each(rows)('%s', (_title, bits, command, expected) => {
    expect(gone(moved('stage 1', bits), command)).toBe(expected);
  });

  test('a unit without stage 2 has no VMIDs', () => {
    expect(gone(moved('stage 1', NG, { s2: false }), by(0x12, A, { vmid: 9, asid: 7 }))).toBe('A-');
  });

  test('streams with the same tags share entries, others do not', () => {
    const board = moved('stage 1');
    board.ste(2, { ...S1_STE, S2VMID: 3 });
    board.ste(3, { ...S1_STE, S2VMID: 4 });
    expect(board.dma(2, A)).toMatchObject({ pa: OLD });
    expect(board.dma(3, A)).toMatchObject({ pa: NEW });
  });

  test('global entries are shared by ASIDs of the same ASET only', () => {
    for (const [ASET, pa] of [
      [true, OLD],
      [false, NEW],
    ] as const) {
      const board = moved('stage 1', 0n);
      board.ste(2, { ...S1_STE, S1ContextPtr: CDS + 64n, S2VMID: 3 });
      board.cd(CDS + 64n, { ...S1_CD, ASID: 9, ASET });
      expect(board.dma(2, A)).toMatchObject({ pa });
    }
  });

  test('VMW widens the match of invalidations', () => {
    const board = moved('stage 1');
    expect(gone(board, NH_ALL(2))).toBe('--');
    board.set('CR0', 0xdn | (1n << 6n));
    expect(gone(board, NH_ALL(2))).toBe('AB');
  });
});

describe('EL2 and EL2-E2H', () => {
  function el2(e2h: boolean, nG: boolean): SmmuBoard {
    const board = new SmmuBoard();
    board.set('CR2', 1n);
    if (!e2h) board.set('CR2', 0n);
    board.set('STRTAB_BASE', 0x10_0000n);
    board.set('STRTAB_BASE_CFG', 6n);
    board.queues();
    board.set('CR0', 0xdn);
    board.ste(1, { ...S1_STE, STRW: 2 });
    board.cd(CDS, S1_CD);
    const page = S1_PAGE | (nG ? NG : 0n);
    for (const iova of [A, B]) board.map(S1_ROOT, WALK_4K[3], iova, OLD | page);
    for (const iova of [A, B]) board.dma(1, iova);
    for (const iova of [A, B]) board.map(S1_ROOT, WALK_4K[3], iova, NEW | page);
    return board;
  }
  const rows: readonly (readonly [string, boolean, boolean, number[], string])[] = [
    ['EL2_VA without E2H needs no ASID', false, true, by(0x22, A, { asid: 99 }), 'A-'],
    ['EL2_VA, E2H', true, true, by(0x22, A, { asid: 7 }), 'A-'],
    ['EL2_VA, E2H, another ASID', true, true, by(0x22, A, { asid: 99 }), '--'],
    ['EL2_VAA, E2H', true, true, by(0x23, B), '-B'],
    ['EL2_ASID, E2H', true, true, [0x21, 7 << 16, 0, 0], 'AB'],
    ['EL2_ASID, E2H, global', true, false, [0x21, 7 << 16, 0, 0], '--'],
    ['EL2_ALL', true, false, [0x20, 0, 0, 0], 'AB'],
    ['NSNH_ALL', true, true, NSNH, '--'],
    ['NH_VA', true, true, by(0x12, A, { asid: 7 }), '--'],
  ];
  test.each(rows)('%s', (_title, e2h, nG, command, expected) => {
    expect(gone(el2(e2h, nG), command)).toBe(expected);
  });
});

describe('stage-2 entries: tags {VMID, IPA}', () => {
  const rows: readonly (readonly [string, number[], string])[] = [
    ['S2_IPA', by(0x2a, A, { vmid: 3 }), 'A-'],
    ['S2_IPA, another VMID', by(0x2a, A, { vmid: 2 }), '--'],
    ['S12_VMALL', VMALL(3), 'AB'],
    ['NH_ALL', NH_ALL(3), '--'],
    ['NH_VAA', by(0x13, A, { vmid: 3 }), '--'],
    ['NSNH_ALL', NSNH, 'AB'],
  ];
  test.each(rows)('%s', (_title, command, expected) => {
    expect(gone(moved('stage 2'), command)).toBe(expected);
  });
});

describe('nested: entries of both stages together', () => {
  function nestedIpaMoved(): SmmuBoard {
    const board = moved('nested');
    // Stage 1 as it was; now stage 2 of the page moves.
    for (const iova of [A, B]) board.map(S1_ROOT, WALK_4K[3], iova, OLD | S1_PAGE | NG);
    board.map(S2_ROOT, WALK_4K[2], OLD, 0x4000_0000n | BLOCK(S2_PAGE));
    return board;
  }
  const now = (board: SmmuBoard) => [A, B].map((iova) => board.dma(1, iova).pa);
  const MOVED = 0x4000_0000n + OLD;

  test('S2_IPA alone is not enough, nor NH_ALL alone; both are', () => {
    const board = nestedIpaMoved();
    board.command(by(0x2a, OLD, { vmid: 3 }));
    expect(now(board)).toEqual([OLD, OLD]);
    board.command(NH_ALL(3));
    expect(now(board)).toEqual([MOVED, MOVED]);
    const other = nestedIpaMoved();
    other.command(NH_ALL(3));
    expect(now(other)).toEqual([OLD, OLD]);
    other.command(by(0x2a, OLD, { vmid: 3 }));
    other.command(NH_ALL(3));
    expect(now(other)).toEqual([MOVED, MOVED]);
  });

  test('S12_VMALL takes all', () => {
    const board = nestedIpaMoved();
    board.command(VMALL(3));
    expect(now(board)).toEqual([MOVED, MOVED]);
  });

  test('NH_VA hits the combined entry', () => {
    expect(gone(moved('nested'), by(0x12, A, { vmid: 3, asid: 7 }))).toBe('A-');
  });

  test('a stage-1 block cached in pieces goes by any of its addresses', () => {
    const board = moved('nested');
    const block = 0x8000_0000n;
    board.map(S1_ROOT, WALK_4K[2], block, 0x6000_0000n | BLOCK(S1_PAGE) | NG);
    for (let i = 0n; i < 4n; i++)
      board.map(S2_ROOT, WALK_4K[3], 0x6000_0000n + i * 0x1000n, (0x1_0000n + i * 0x1000n) | S2_PAGE);
    for (let i = 0n; i < 4n; i++)
      expect(board.dma(1, block + i * 0x1000n)).toMatchObject({ pa: 0x1_0000n + i * 0x1000n, lg2: 12 });
    board.map(S1_ROOT, WALK_4K[2], block, 0n);
    expect(board.dma(1, block).outcome).toBe('translated');
    board.command(by(0x12, block + 0x10_0000n, { vmid: 3, asid: 7 }));
    for (let i = 0n; i < 4n; i++) expect(board.dma(1, block + i * 0x1000n).event).toBe('F_TRANSLATION');
  });
});

describe('range invalidation, IHI 0070 4.4.1.1', () => {
  const asid = { vmid: 3, asid: 7 };
  const rows: readonly (readonly [string, number[], string])[] = [
    ['TG=4K, TTL=3, one page', by(0x12, A, { ...asid, tg: 1, ttl: 3 }), 'A-'],
    ['TG=4K, NUM=1: two pages', by(0x12, A, { ...asid, tg: 1, num: 1 }), 'AB'],
    ['TG=4K, SCALE=1: two pages', by(0x12, A, { ...asid, tg: 1, scale: 1 }), 'AB'],
    ['TG=4K from the page before', by(0x12, A - 0x1000n, { ...asid, tg: 1, num: 1 }), 'A-'],
    ['TG=4K, 32 << 31 pages', by(0x12, 0n, { ...asid, tg: 1, num: 31, scale: 31 }), 'AB'],
    ['TG=64K: entries of another granule stay', by(0x12, A, { ...asid, tg: 3, num: 1 }), '--'],
    ['TG=16K', by(0x12, A, { ...asid, tg: 2, num: 1 }), '--'],
    ['TTL=2: entries of another level stay', by(0x12, A, { ...asid, tg: 1, num: 1, ttl: 2 }), '--'],
    ['NUM without TG is no range', by(0x12, A, { ...asid, num: 1 }), 'A-'],
    ['a range of the upper half', by(0x12, A | (0xffffn << 48n), { ...asid, tg: 1, num: 31, scale: 31 }), '--'],
  ];
  test.each(rows)('%s', (_title, command, expected) => {
    expect(gone(moved('stage 1'), command)).toBe(expected);
  });

  test('S2_IPA by range', () => {
    expect(gone(moved('stage 2'), by(0x2a, A, { vmid: 3, tg: 1, num: 1 }))).toBe('AB');
  });

  test('without RIL the fields count for nothing', () => {
    expect(gone(moved('stage 1', NG, { v32: false }), by(0x12, A, { ...asid, tg: 3, num: 5, ttl: 1 }))).toBe('A-');
  });

  test('granules of 16 and 64 KiB, blocks by their level', () => {
    for (const [TG0, tg, shifts, lg2] of [
      [2, 2, [47, 36, 25, 14], 14],
      [1, 3, [42, 29, 16], 16],
      [2, 2, [47, 36, 25], 25],
      [1, 3, [42, 29], 29],
    ] as const) {
      const board = SmmuBoard.running();
      board.ste(1, S1_STE);
      board.cd(CDS, { ...S1_CD, TG0 });
      const iova = 1n << 40n;
      const level = shifts.length + (TG0 === 1 ? 0 : -1);
      const leaf = (pa: bigint) => pa | (level === 3 ? S1_PAGE : BLOCK(S1_PAGE)) | NG;
      board.map(S1_ROOT, shifts, iova, leaf(0n), 48 - shifts[0]);
      expect(board.dma(1, iova)).toMatchObject({ pa: 0n, lg2 });
      board.map(S1_ROOT, shifts, iova, leaf(1n << 30n), 48 - shifts[0]);
      board.command(by(0x12, iova, { asid: 7, tg, ttl: level === 3 ? 2 : 3 }));
      expect([lg2, board.dma(1, iova).pa]).toEqual([lg2, 0n]);
      board.command(by(0x12, iova, { asid: 7, tg, ttl: level }));
      expect([lg2, board.dma(1, iova).pa]).toEqual([lg2, 1n << 30n]);
    }
  });
});

describe('tables on the way stay cached until Leaf = 0', () => {
  const asid = { vmid: 3, asid: 7 };
  const rows: readonly (readonly [string, number[], string])[] = [
    ['Leaf=1', by(0x12, A, { ...asid, leaf: 1 }), '--'],
    ['Leaf=0', by(0x12, A, { ...asid, leaf: 0 }), 'A-'],
    ['Leaf=0 at another address of the table', by(0x12, A + 0x10_0000n, { ...asid, leaf: 0 }), '--'],
    ['Leaf=0 by range, no level', by(0x12, A, { ...asid, leaf: 0, tg: 1, num: 1 }), 'AB'],
    ['Leaf=0 by range, level 3', by(0x12, A, { ...asid, leaf: 0, tg: 1, num: 1, ttl: 3 }), 'AB'],
    [
      'Leaf=0 by range, level 2: the entry that points to level 3 is not above it',
      by(0x12, A, { ...asid, leaf: 0, tg: 1, num: 1, ttl: 2 }),
      '--',
    ],
    ['Leaf=0, another ASID', by(0x12, A, { vmid: 3, asid: 8, leaf: 0 }), '--'],
    ['NH_VAA, Leaf=0', by(0x13, B, { vmid: 3, leaf: 0 }), '-B'],
    ['NH_ASID', NH_ASID(3, 7), 'AB'],
  ];
  test.each(rows)('%s', (_title, command, expected) => {
    const board = moved('stage 1');
    // A new last-level table in place of the old one, which still says OLD.
    const [level1] = board.words(S1_ROOT, 2);
    for (const iova of [A, B]) board.map(S1_ROOT, WALK_4K[3], iova, OLD | S1_PAGE | NG);
    const level2 = BigInt(board.words(BigInt(level1! & ~0xfff) + ((A >> 30n) & 511n) * 8n, 1)[0]! & ~0xfff);
    const table = board.table();
    board.put64(level2 + ((A >> 21n) & 511n) * 8n, table | 3n);
    for (const iova of [A, B]) board.put64(table + ((iova >> 12n) & 511n) * 8n, NEW | S1_PAGE | NG);
    // With Leaf = 1 the leaf goes, and the walk comes back by the old table.
    const found = gone(board, command);
    expect(found).toBe(expected);
  });

  test('a neighbour’s walk takes the cached table, with its hierarchical attributes', () => {
    const board = SmmuBoard.running();
    board.ste(1, S1_STE);
    board.cd(CDS, S1_CD);
    for (const iova of [A, B]) board.map(S1_ROOT, WALK_4K[3], iova, OLD | S1_PAGE | NG);
    const [root] = board.words(S1_ROOT, 2);
    // APTable[1]: no write.
    board.put(S1_ROOT, [root!, 1 << 30]);
    expect(board.dma(1, A)).toMatchObject({ rights: 1 });
    let loads = 0;
    board.hardware.probe = { structure: () => void loads++ };
    expect(board.dma(1, B)).toMatchObject({ rights: 1 });
    expect(loads).toBe(1);
  });

  test('stage 2: S2_IPA with Leaf = 0', () => {
    for (const [leaf, pa] of [
      [1, OLD],
      [0, NEW],
    ] as const) {
      const board = moved('stage 2');
      for (const iova of [A, B]) board.map(S2_ROOT, WALK_4K[3], iova, OLD | S2_PAGE);
      const level1 = BigInt(board.words(S2_ROOT, 1)[0]! & ~0xfff);
      const level2 = BigInt(board.words(level1 + ((A >> 30n) & 511n) * 8n, 1)[0]! & ~0xfff);
      const table = board.table();
      board.put64(level2 + ((A >> 21n) & 511n) * 8n, table | 3n);
      board.put64(table + ((A >> 12n) & 511n) * 8n, NEW | S2_PAGE);
      board.command(by(0x2a, A, { vmid: 3, leaf }));
      expect(board.dma(1, A)).toMatchObject({ pa });
    }
  });
});

describe('cost', () => {
  test('a page or a small range does not look at the other entries', () => {
    const board = SmmuBoard.running();
    board.ste(1, S1_STE);
    board.cd(CDS, S1_CD);
    const pages = 4096n;
    for (let i = 0n; i < pages; i++) board.map(S1_ROOT, WALK_4K[3], i << 12n, (i << 12n) | S1_PAGE | NG);
    for (let i = 0n; i < pages; i++) board.dma(1, i << 12n);
    const { cache } = board.hardware as unknown as { cache: { size: number } };
    expect(cache.size).toBe(4096);
    board.command(by(0x12, 0x5000n, { asid: 7 }));
    expect(cache.size).toBe(4095);
    board.command(by(0x12, 0x10_0000n, { asid: 7, tg: 1, num: 15 }));
    expect(cache.size).toBe(4079);
    board.command(by(0x12, 0n, { asid: 7, tg: 1, num: 0, scale: 11 }));
    expect(cache.size).toBe(2048);
    board.command(NH_ASID(0, 7));
    expect(cache.size).toBe(0);
  });
});
