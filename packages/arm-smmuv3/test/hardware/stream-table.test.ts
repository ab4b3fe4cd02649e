import { describe, expect, test } from 'vitest';
import { L1STD, STE } from '../../src/format/ste.ts';
import { SmmuBoard, STRTAB } from './board.ts';

const BYPASS = STE.encode({ V: true, Config: 4 });
const L2 = 0x50_0000n;

/** A unit whose table is programmed as told; translation on. */
function table(base: bigint, cfg: bigint, config = {}): SmmuBoard {
  const board = new SmmuBoard(config);
  board.set('STRTAB_BASE', base);
  board.set('STRTAB_BASE_CFG', cfg);
  board.queues();
  board.set('CR2', 2n);
  board.set('CR0', 0xdn);
  return board;
}

const TWO_LEVEL = (log2size: number, split: number): bigint => BigInt(log2size | (split << 6) | (1 << 16));
const std = (span: number, pointer = L2) => L1STD.encode({ Span: span, L2Ptr: pointer });

describe('linear stream table, IHI 0070 3.3.1', () => {
  test('an entry every 64 bytes, up to LOG2SIZE', () => {
    const board = table(STRTAB, 6n);
    board.put(STRTAB + 63n * 64n, BYPASS);
    expect(board.dma(63, 0x5000n).outcome).toBe('bypass');
    expect(board.dma(64, 0x5000n)).toEqual({
      outcome: 'fault',
      event: 'C_BAD_STREAMID',
      record: [2, 64, 0, 0, 0, 0, 0, 0],
    });
    expect(board.dma(0xffff_ffff, 0n).event).toBe('C_BAD_STREAMID');
  });

  test('SIDSIZE caps LOG2SIZE, but the base is aligned to what LOG2SIZE says', () => {
    const board = table(STRTAB + 0x40n, 10n, { sidBits: 4, twoLevelStreams: false });
    // LOG2SIZE 10: bits 15:0 of the base are taken as zero.
    board.put(STRTAB + 15n * 64n, BYPASS);
    expect(board.dma(15, 0n).outcome).toBe('bypass');
    expect(board.dma(16, 0n).event).toBe('C_BAD_STREAMID');
  });

  test('other formats than two-level are linear', () => {
    const board = table(STRTAB, 6n | (2n << 16n));
    board.put(STRTAB + 3n * 64n, BYPASS);
    expect(board.dma(3, 0n).outcome).toBe('bypass');
    const linear = table(STRTAB, TWO_LEVEL(6, 8), { sidBits: 6, twoLevelStreams: false });
    linear.put(STRTAB + 3n * 64n, BYPASS);
    expect(linear.dma(3, 0n).outcome).toBe('bypass');
  });

  test('an abort of the fetch', () => {
    const board = table(STRTAB, 6n);
    board.memory.poison(STRTAB + 0x80n, STRTAB + 0xbfn);
    expect(board.dma(2, 0x1234n, { pasid: 5 })).toEqual({
      outcome: 'fault',
      event: 'F_STE_FETCH',
      record: [0x5803, 2, 0, 0, 0, 0, 0x10_0080, 0],
    });
    // A failed fetch is not cached.
    board.memory.heal();
    board.put(STRTAB + 0x80n, BYPASS);
    expect(board.dma(2, 0x1234n).outcome).toBe('bypass');
  });

  test('a table beyond OAS does not answer', () => {
    const board = table(0x100_0000_0000n, 6n, { oas: 40 });
    expect(board.dma(1, 0n)).toMatchObject({ event: 'F_STE_FETCH', record: [3, 1, 0, 0, 0, 0, 0x40, 0x100] });
  });
});

describe('two-level stream table', () => {
  test.each([6, 8, 10])('split %i, every span', (split) => {
    for (let span = 1; span <= split + 1; span++) {
      const board = table(STRTAB, TWO_LEVEL(16, split));
      const first = 5 << split;
      const last = first + 2 ** (span - 1) - 1;
      board.put(STRTAB + 5n * 8n, std(span));
      board.put(L2 + BigInt(last - first) * 64n, BYPASS);
      expect([span, board.dma(last, 0n).outcome]).toEqual([span, 'bypass']);
      if (span <= split) expect([span, board.dma(last + 1, 0n).event]).toEqual([span, 'C_BAD_STREAMID']);
    }
  });

  test('spans 0, above SPLIT + 1 and reserved', () => {
    for (const [split, span] of [
      [8, 0],
      [6, 8],
      [8, 10],
      [10, 12],
      [8, 31],
    ] as const) {
      const board = table(STRTAB, TWO_LEVEL(16, split));
      board.put(STRTAB, std(span));
      board.put(L2, BYPASS);
      expect([span, board.dma(0, 0n).event]).toEqual([span, 'C_BAD_STREAMID']);
    }
  });

  test('a reserved SPLIT acts as 6', () => {
    const board = table(STRTAB, TWO_LEVEL(16, 7));
    board.put(STRTAB + 8n, std(7));
    board.put(L2 + 64n, BYPASS);
    expect(board.dma(65, 0n).outcome).toBe('bypass');
  });

  test('level-2 tables are aligned to their size, the base to the level-1 table’s', () => {
    const board = table(STRTAB + 0x7c0n, TWO_LEVEL(16, 8));
    // 256 level-1 entries: bits 10:0 of the base are zero. Span 9: bits 13:0 of the pointer are zero.
    board.put(STRTAB, std(9, L2 + 0x3fc0n));
    board.put(L2 + 64n, BYPASS);
    expect(board.dma(1, 0n).outcome).toBe('bypass');
  });

  test('abort of the level-1 fetch', () => {
    const board = table(STRTAB, TWO_LEVEL(16, 8));
    board.memory.poison(STRTAB + 0x10n, STRTAB + 0x17n);
    expect(board.dma(0x2ff, 0n)).toMatchObject({ event: 'F_STE_FETCH', record: [3, 0x2ff, 0, 0, 0, 0, 0x10_0010, 0] });
  });

  test('the descriptor stays cached, invalid too: Leaf = 1 does not drop it, Leaf = 0 does', () => {
    const board = table(STRTAB, TWO_LEVEL(16, 8));
    expect(board.dma(1, 0n).event).toBe('C_BAD_STREAMID');
    board.put(STRTAB, std(9));
    board.put(L2 + 64n, BYPASS);
    board.command([3, 1, 1, 0]);
    expect(board.dma(1, 0n).event).toBe('C_BAD_STREAMID');
    board.command([3, 1, 0, 0]);
    expect(board.dma(1, 0n).outcome).toBe('bypass');
  });
});

describe('CR2.RECINVSID', () => {
  test('a bad StreamID always faults and is recorded only with RECINVSID', () => {
    const board = new SmmuBoard();
    board.set('STRTAB_BASE', STRTAB);
    board.set('STRTAB_BASE_CFG', 6n);
    board.queues();
    board.set('CR0', 0xdn);
    expect(board.dma(64, 0n, { pasid: 1 })).toEqual({ outcome: 'fault', event: 'C_BAD_STREAMID', record: [] });
    expect(board.get('EVENTQ_PROD')).toBe(0n);
  });
});

describe('the configuration cache holds entries until CFGI names them', () => {
  test('CFGI_STE, CFGI_STE_RANGE and CFGI_ALL', () => {
    const commands: readonly (readonly [string, number[], boolean])[] = [
      ['CFGI_STE of the stream', [3, 5, 1, 0], true],
      ['CFGI_STE of its neighbour', [3, 4, 1, 0], false],
      ['range of 4 with it', [4, 6, 1, 0], true],
      ['range of 4 without it', [4, 8, 1, 0], false],
      ['all', [4, 0, 31, 0], true],
      ['CFGI_CD', [5, 5, 1, 0], false],
      ['CFGI_CD_ALL', [6, 5, 0, 0], false],
      ['TLBI_NSNH_ALL', [0x30, 0, 0, 0], false],
    ];
    for (const [title, words, drops] of commands) {
      const board = SmmuBoard.running();
      board.ste(5, { V: true, Config: 4 });
      expect(board.dma(5, 0n).outcome).toBe('bypass');
      board.ste(5, { V: true, Config: 0 });
      expect([title, board.dma(5, 0n).outcome]).toEqual([title, 'bypass']);
      board.command(words);
      expect([title, board.dma(5, 0n).outcome]).toEqual([title, drops ? 'fault' : 'bypass']);
    }
  });

  test('V = 0 is cached as well', () => {
    const board = SmmuBoard.running();
    expect(board.dma(5, 0n).event).toBe('C_BAD_STE');
    board.ste(5, { V: true, Config: 4 });
    expect(board.dma(5, 0n).event).toBe('C_BAD_STE');
    board.command([3, 5, 1, 0]);
    expect(board.dma(5, 0n).outcome).toBe('bypass');
  });

  test('the command shows at the SYNC, not when it is consumed', () => {
    const board = SmmuBoard.running();
    expect(board.dma(5, 0n).event).toBe('C_BAD_STE');
    board.ste(5, { V: true, Config: 4 });
    board.command([3, 5, 1, 0], false);
    expect(board.get('CMDQ_CONS')).toBe(1n);
    expect(board.dma(5, 0n).event).toBe('C_BAD_STE');
    board.raw([0x46, 0, 0, 0]);
    expect(board.dma(5, 0n).outcome).toBe('bypass');
  });

  test('more streams than the cache holds still work', () => {
    const board = table(STRTAB, TWO_LEVEL(17, 10), { sidBits: 17 });
    for (let i = 0n; i < 128n; i++) board.put(STRTAB + i * 8n, std(11, 0x100_0000n + i * 0x1_0000n));
    for (let sid = 0; sid < 2 ** 17; sid++) board.put(0x100_0000n + BigInt(sid) * 64n, BYPASS);
    for (let round = 0; round < 2; round++)
      for (let sid = 0; sid < 2 ** 17; sid++) if (board.dma(sid, 0n).outcome !== 'bypass') expect(sid).toBe('bypass');
  });
});
