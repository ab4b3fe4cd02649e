import { describe, expect, test } from 'vitest';
import { L1CD } from '../../src/format/cd.ts';
import { CDS, S1_CD, S1_PAGE, S1_ROOT, S1_STE, S2_STE, SmmuBoard, type SteFields, WALK_4K } from './board.ts';

const IOVA = 0x7000n;
const PA = 0x9_0000n;

function unit(ste: SteFields, config = {}): SmmuBoard {
  const board = SmmuBoard.running(config);
  board.map(S1_ROOT, WALK_4K[3], IOVA, PA | S1_PAGE);
  board.ste(2, ste);
  return board;
}

/** CDs 0..7 in a linear table, each with an ASID of its own. */
function linear(fields: SteFields, config = {}): SmmuBoard {
  const board = unit({ ...S1_STE, S1CDMax: 3, ...fields }, config);
  for (let i = 0; i < 8; i++) board.cd(CDS + BigInt(i) * 64n, { ...S1_CD, ASID: i + 1 });
  return board;
}

describe('S1CDMax and S1DSS, IHI 0070 5.2', () => {
  const outcomes: readonly (readonly [number, number, string])[] = [
    // S1DSS, SSID (-1 = none), answer
    [0, -1, 'F_STREAM_DISABLED'],
    [0, 0, 'translated'],
    [0, 7, 'translated'],
    [0, 8, 'C_BAD_SUBSTREAMID'],
    [1, -1, 'bypass'],
    [1, 0, 'translated'],
    [1, 7, 'translated'],
    [1, 0xfffff, 'C_BAD_SUBSTREAMID'],
    [2, -1, 'translated'],
    [2, 0, 'F_STREAM_DISABLED'],
    [2, 1, 'translated'],
    [3, -1, 'F_STREAM_DISABLED'],
  ];
  test.each(outcomes)('S1DSS=%i SSID=%i: %s', (S1DSS, pasid, answer) => {
    const { outcome, event } = linear({ S1DSS }).dma(2, IOVA, { pasid });
    expect(event ?? outcome).toBe(answer);
  });

  test('no substreams: any SSID is bad, none uses the one CD', () => {
    for (const config of [{}, { ssidBits: 0 }]) {
      const board = unit(S1_STE, config);
      board.cd(CDS, S1_CD);
      expect(board.dma(2, IOVA)).toMatchObject({ outcome: 'translated', pa: PA });
      expect(board.dma(2, IOVA, { pasid: 0 }).event).toBe('C_BAD_SUBSTREAMID');
    }
  });

  test('stage 1 off: any SSID is bad', () => {
    for (const ste of [{ V: true, Config: 4 }, S2_STE]) {
      const board = unit(ste);
      expect(board.dma(2, IOVA, { pasid: 0x12345 })).toEqual({
        outcome: 'fault',
        event: 'C_BAD_SUBSTREAMID',
        // The SSID is always valid here, and bit 11 is 0.
        record: [0x1234_5008, 2, 0, 0, 0, 0, 0, 0],
      });
    }
  });

  test('F_STREAM_DISABLED names the stream only', () => {
    expect(linear({ S1DSS: 2 }).dma(2, IOVA, { pasid: 0 }).record).toEqual([6, 2, 0, 0, 0, 0, 0, 0]);
  });

  test('S1DSS=1 does not even fetch a CD, and keeps the size check', () => {
    const board = linear({ S1DSS: 1 }, { oas: 40 });
    board.memory.poison(CDS, CDS + 0x1ffn);
    expect(board.dma(2, 0xff_0000_0000n)).toMatchObject({ outcome: 'bypass', pa: 0xff_0000_0000n });
    expect(board.dma(2, 0x100_0000_0000n).event).toBe('F_ADDR_SIZE');
  });

  test('a linear table is aligned to its size', () => {
    const board = linear({ S1DSS: 0, S1ContextPtr: CDS + 0x1c0n });
    expect(board.dma(2, IOVA, { pasid: 0 })).toMatchObject({ outcome: 'translated', pa: PA });
  });

  test('an abort of the CD fetch', () => {
    const board = linear({ S1DSS: 0 });
    board.memory.poison(CDS + 0xc0n, CDS + 0xffn);
    expect(board.dma(2, IOVA, { pasid: 3 })).toEqual({
      outcome: 'fault',
      event: 'F_CD_FETCH',
      record: [0x3809, 2, 0, 0, 0, 0, 0x40_00c0, 0],
    });
    board.memory.heal();
    expect(board.dma(2, IOVA, { pasid: 3 }).outcome).toBe('translated');
  });
});

describe('two-level CD tables, IHI 0070 5.3', () => {
  const LEAF = 0x48_0000n;

  test.each([
    [1, 6],
    [2, 10],
  ])('S1Fmt=%i: leaves of 2^%i', (S1Fmt, lg2) => {
    const board = unit({ ...S1_STE, S1CDMax: 12, S1Fmt, S1DSS: 2 });
    const ssid = (3 << lg2) + 2 ** lg2 - 1;
    // With 64 KiB leaves, bits 15:12 of the pointer are taken as zero.
    board.put(CDS + 3n * 8n, L1CD.encode({ V: true, L2Ptr: LEAF + (S1Fmt === 2 ? 0x3000n : 0n) }));
    board.cd(LEAF + BigInt(2 ** lg2 - 1) * 64n, S1_CD);
    expect(board.dma(2, IOVA, { pasid: ssid })).toMatchObject({ outcome: 'translated', pa: PA });
    expect(board.dma(2, IOVA, { pasid: 4 << lg2 > 4095 ? 1 : 4 << lg2 }).event).toBe('C_BAD_SUBSTREAMID');
  });

  test('S1CDMax within one leaf: only the first descriptor', () => {
    const board = unit({ ...S1_STE, S1CDMax: 5, S1Fmt: 1, S1DSS: 2 });
    board.put(CDS, L1CD.encode({ V: true, L2Ptr: LEAF }));
    board.cd(LEAF + 31n * 64n, S1_CD);
    expect(board.dma(2, IOVA, { pasid: 31 }).outcome).toBe('translated');
  });

  test('a pointer beyond OAS', () => {
    const board = unit({ ...S1_STE, S1CDMax: 12, S1Fmt: 1, S1DSS: 2 }, { oas: 40 });
    board.put(CDS, L1CD.encode({ V: true, L2Ptr: 0x100_0000_0000n }));
    expect(board.dma(2, IOVA, { pasid: 1 })).toMatchObject({
      event: 'C_BAD_SUBSTREAMID',
      record: [0x1008, 2, 0, 0, 0, 0, 0, 0],
    });
    // Reached by S1DSS without a substream: SSID 0.
    expect(board.dma(2, IOVA)).toMatchObject({ event: 'C_BAD_SUBSTREAMID', record: [8, 2, 0, 0, 0, 0, 0, 0] });
  });

  test('an abort of the first level', () => {
    const board = unit({ ...S1_STE, S1CDMax: 12, S1Fmt: 1, S1DSS: 2 });
    board.memory.poison(CDS + 8n, CDS + 15n);
    expect(board.dma(2, IOVA, { pasid: 64 })).toMatchObject({
      event: 'F_CD_FETCH',
      record: [0x4_0809, 2, 0, 0, 0, 0, 0x40_0008, 0],
    });
  });

  test('CFGI_CD: Leaf = 1 leaves the first level cached, Leaf = 0 does not', () => {
    const board = unit({ ...S1_STE, S1CDMax: 12, S1Fmt: 1, S1DSS: 2 });
    expect(board.dma(2, IOVA, { pasid: 1 }).event).toBe('C_BAD_SUBSTREAMID');
    board.put(CDS, L1CD.encode({ V: true, L2Ptr: LEAF }));
    board.cd(LEAF + 64n, S1_CD);
    board.command([5 | (1 << 12), 2, 1, 0]);
    expect(board.dma(2, IOVA, { pasid: 1 }).event).toBe('C_BAD_SUBSTREAMID');
    board.command([5 | (1 << 12), 2, 0, 0]);
    expect(board.dma(2, IOVA, { pasid: 1 }).outcome).toBe('translated');
  });
});

describe('contexts stay cached until CFGI names them', () => {
  const commands: readonly (readonly [string, number[], boolean])[] = [
    ['CFGI_CD', [5 | (3 << 12), 2, 1, 0], true],
    ['CFGI_CD of another substream', [5 | (4 << 12), 2, 1, 0], false],
    ['CFGI_CD of another stream', [5 | (3 << 12), 3, 1, 0], false],
    ['CFGI_CD_ALL', [6, 2, 0, 0], true],
    ['CFGI_CD_ALL of another stream', [6, 3, 0, 0], false],
    ['CFGI_STE', [3, 2, 1, 0], true],
    ['TLBI_NSNH_ALL', [0x30, 0, 0, 0], false],
  ];
  test.each(commands)('%s', (_title, words, drops) => {
    const board = linear({ S1DSS: 0 });
    expect(board.dma(2, IOVA, { pasid: 3 }).outcome).toBe('translated');
    board.cd(CDS + 3n * 64n, { ...S1_CD, V: false });
    board.command(words);
    expect(board.dma(2, IOVA, { pasid: 3 }).event).toBe(drops ? 'C_BAD_CD' : undefined);
  });

  test('a CD that two streams share needs a CFGI_CD for each', () => {
    const board = unit(S1_STE);
    board.ste(3, S1_STE);
    board.cd(CDS, S1_CD);
    for (const sid of [2, 3]) expect(board.dma(sid, IOVA).outcome).toBe('translated');
    board.cd(CDS, { ...S1_CD, V: false });
    board.command([5, 2, 1, 0]);
    expect([board.dma(2, IOVA).event, board.dma(3, IOVA).outcome]).toEqual(['C_BAD_CD', 'translated']);
  });

  test('an invalid CD is cached too', () => {
    const board = unit(S1_STE);
    expect(board.dma(2, IOVA).event).toBe('C_BAD_CD');
    board.cd(CDS, S1_CD);
    expect(board.dma(2, IOVA).event).toBe('C_BAD_CD');
    board.command([5, 2, 1, 0]);
    expect(board.dma(2, IOVA).outcome).toBe('translated');
  });
});
