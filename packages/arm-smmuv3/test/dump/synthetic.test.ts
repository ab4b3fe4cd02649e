import { DmaAnswer, DmaRequest, type DumpReader } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { dumpSupport } from '../../src/dump/dump.ts';
import { L1CD } from '../../src/format/cd.ts';
import { L1STD, STE } from '../../src/format/ste.ts';
import {
  BLOCK,
  CDS,
  CMDQ,
  EVENTQ,
  NESTED_STE,
  S1_CD,
  S1_PAGE,
  S1_ROOT,
  S1_STE,
  S2_PAGE,
  S2_ROOT,
  S2_STE,
  SmmuBoard,
  STRTAB,
  WALK_4K,
} from '../hardware/board.ts';

/** The unit as it stands, read from its memory and frame alone. */
function dumpOf(board: SmmuBoard): DumpReader {
  const frame = new Uint8Array(board.hardware.unit.registers.buffer.slice(0));
  return dumpSupport.open(board.memory, frame, { hostAddressBits: 52 });
}
const list = (dump: DumpReader, device: number, pasid: number | null = null) =>
  [...dump.mappings(device, pasid)].map((m) => [m.iova, m.pa, m.size, m.permissions]);

describe('devices', () => {
  test('streams that translate, PASIDs by their contexts; abort, bypass and invalid ones are not listed', () => {
    const board = SmmuBoard.running();
    board.ste(1, { V: true, Config: 0 });
    board.ste(2, { V: true, Config: 4 });
    board.ste(3, S1_STE);
    board.ste(4, S2_STE);
    board.ste(5, { ...S1_STE, S1ContextPtr: CDS + 0x1000n, S1CDMax: 3, S1DSS: 2 });
    board.ste(6, { ...NESTED_STE, S1ContextPtr: 0x7000_0000n, S1CDMax: 2, S1DSS: 1 });
    board.ste(7, { ...S1_STE, S1ContextPtr: CDS + 0x2000n, S1CDMax: 3, S1DSS: 0 });
    board.ste(8, { ...S1_STE, STRW: 1 });
    board.cd(CDS, S1_CD);
    for (const ssid of [0n, 2n, 7n]) board.cd(CDS + 0x1000n + ssid * 64n, S1_CD);
    for (const ssid of [0n, 5n]) board.cd(CDS + 0x2000n + ssid * 64n, S1_CD);
    expect([...dumpOf(board).devices()]).toEqual([
      { device: 3, pasid: null },
      { device: 4, pasid: null },
      { device: 5, pasid: null },
      { device: 5, pasid: 2 },
      { device: 5, pasid: 7 },
      { device: 6, pasid: null },
      { device: 7, pasid: 0 },
      { device: 7, pasid: 5 },
    ]);
  });

  test('two levels of streams and of contexts', () => {
    const board = new SmmuBoard();
    board.set('STRTAB_BASE', STRTAB);
    board.set('STRTAB_BASE_CFG', 0x1_0210n);
    board.set('CR0', 1n);
    board.put(STRTAB + 3n * 8n, L1STD.encode({ Span: 9, L2Ptr: 0x50_0000n }));
    board.put(STRTAB + 5n * 8n, L1STD.encode({ Span: 2, L2Ptr: 0x60_0000n }));
    const ste = STE.encode({ ...S1_STE, S1Fmt: 2, S1CDMax: 16, S1DSS: 2 });
    board.put(0x50_0000n + 255n * 64n, ste);
    board.put(0x60_0000n + 64n, STE.encode(S2_STE));
    board.put(CDS + 9n * 8n, L1CD.encode({ V: true, L2Ptr: 0x70_0000n }));
    board.cd(0x70_0000n + 3n * 64n, S1_CD);
    expect([...dumpOf(board).devices()]).toEqual([
      { device: 0x3ff, pasid: 9 * 1024 + 3 },
      { device: 0x501, pasid: null },
    ]);
  });

  test('a unit that is off has no devices and no mappings', () => {
    const board = SmmuBoard.running();
    board.ste(3, S2_STE);
    board.set('CR0', 0n);
    const dump = dumpOf(board);
    expect([[...dump.devices()], list(dump, 3)]).toEqual([[], []]);
  });
});

describe('mappings', () => {
  test('both halves of a stage-1 space, blocks, rights', () => {
    const board = SmmuBoard.running();
    board.ste(1, S1_STE);
    const upper = S1_ROOT + 0x40_0000n;
    board.cd(CDS, { ...S1_CD, EPD1: false, T1SZ: 25, TG1: 2, TTB1: upper });
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0xa000n | S1_PAGE);
    board.map(S1_ROOT, WALK_4K[3], 0x2000n, 0xb000n | S1_PAGE | 0x80n);
    board.map(S1_ROOT, WALK_4K[2], 0x4000_0000n, 0x8000_0000n | BLOCK(S1_PAGE));
    // No access flag; not for unprivileged accesses; a descriptor that says nothing.
    board.map(S1_ROOT, WALK_4K[3], 0x3000n, 0xc000n | (S1_PAGE & ~0x400n));
    board.map(S1_ROOT, WALK_4K[3], 0x5000n, 0xd000n | (S1_PAGE & ~0x40n));
    board.map(S1_ROOT, WALK_4K[3], 0x6000n, 0xe000n | BLOCK(S1_PAGE));
    board.map(upper, [30, 21, 12], 0x7000n, 0xf000n | S1_PAGE);
    expect(list(dumpOf(board), 1)).toEqual([
      [0x1000n, 0xa000n, 0x1000n, 3],
      [0x2000n, 0xb000n, 0x1000n, 1],
      [0x5000n, 0xd000n, 0x1000n, 0],
      [0x4000_0000n, 0x8000_0000n, 0x20_0000n, 3],
      [0xffff_ff80_0000_7000n, 0xf000n, 0x1000n, 3],
    ]);
  });

  test('nested: stage 1 after stage 2, in pieces, with the rights of both; every line is what a DMA gets', () => {
    const board = SmmuBoard.running();
    board.ste(1, NESTED_STE);
    board.cd(CDS, S1_CD);
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0x9000_5000n | S1_PAGE);
    board.map(S1_ROOT, WALK_4K[3], 0x2000n, 0x9000_6000n | S1_PAGE);
    board.map(S1_ROOT, WALK_4K[2], 0x4000_0000n, 0xa000_0000n | BLOCK(S1_PAGE));
    for (const ipa of [0n, S1_ROOT]) board.map(S2_ROOT, WALK_4K[2], ipa, ipa | BLOCK(S2_PAGE));
    board.map(S2_ROOT, WALK_4K[2], CDS, CDS | BLOCK(S2_PAGE));
    for (let i = 0n; i < 6n; i++) {
      const ipa = 0x1000_0000n + i * 0x20_0000n;
      board.map(S2_ROOT, WALK_4K[2], ipa, ipa | BLOCK(S2_PAGE));
    }
    board.map(S2_ROOT, WALK_4K[3], 0x9000_5000n, 0x11_1000n | S2_PAGE);
    board.map(S2_ROOT, WALK_4K[3], 0xa000_3000n, 0x22_2000n | (S2_PAGE & ~0x80n));
    board.map(S2_ROOT, WALK_4K[3], 0xa01f_f000n, 0x33_3000n | S2_PAGE);
    const dump = dumpOf(board);
    expect(list(dump, 1)).toEqual([
      [0x1000n, 0x11_1000n, 0x1000n, 3],
      [0x4000_3000n, 0x22_2000n, 0x1000n, 1],
      [0x401f_f000n, 0x33_3000n, 0x1000n, 3],
    ]);
    for (const { iova, pa, permissions, pageSize } of dump.mappings(1, null))
      expect(board.dma(1, iova + 8n)).toEqual({
        outcome: 'translated',
        pa: pa + 8n,
        rights: permissions,
        lg2: Math.log2(Number(pageSize)),
      });
  });

  test('rights are those of the stream: privileged by PRIVCFG, reads that are fetches by INSTCFG', () => {
    const board = SmmuBoard.running();
    board.cd(CDS, S1_CD);
    const UXN = 1n << 54n;
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0xa000n | (S1_PAGE & ~0x40n) | UXN);
    board.map(S1_ROOT, WALK_4K[3], 0x2000n, 0xb000n | S1_PAGE | UXN);
    const rights = (ste: object): unknown[] => {
      board.ste(1, { ...S1_STE, ...ste });
      return list(dumpOf(board), 1).map(([, , , permissions]) => permissions);
    };
    expect(rights({})).toEqual([0, 3]);
    expect(rights({ PRIVCFG: 3 })).toEqual([3, 3]);
    expect(rights({ INSTCFG: 3 })).toEqual([0, 2]);
  });

  test('two guests under one VMID by mistake: each is read through its own stage 2', () => {
    const board = SmmuBoard.running();
    const other = S2_ROOT + 0x40_0000n;
    board.ste(1, NESTED_STE);
    board.ste(2, { ...NESTED_STE, S2TTB: other });
    board.cd(CDS, S1_CD);
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0x9000_5000n | S1_PAGE);
    for (const [root, pa] of [
      [S2_ROOT, 0x11_1000n],
      [other, 0x22_2000n],
    ] as const) {
      for (const ipa of [S1_ROOT, CDS, 0x1000_0000n, 0x1020_0000n, 0x1040_0000n])
        board.map(root, WALK_4K[2], ipa, ipa | BLOCK(S2_PAGE));
      board.map(root, WALK_4K[3], 0x9000_5000n, pa | S2_PAGE);
    }
    // The second guest's stage 2 does not hold its stage-1 root: nothing is mapped, whatever the first one's says.
    board.map(other, WALK_4K[2], S1_ROOT, 0n);
    const dump = dumpOf(board);
    expect([...dump.devices()].map(({ device }) => list(dump, device))).toEqual([
      [[0x1000n, 0x11_1000n, 0x1000n, 3]],
      [],
    ]);
  });

  test('tables that cannot be read are passed over', () => {
    const board = SmmuBoard.running();
    board.ste(1, S2_STE);
    board.map(S2_ROOT, WALK_4K[3], 0x1000n, 0x5000n | S2_PAGE);
    board.map(S2_ROOT, WALK_4K[3], 0x80_0000_0000n, 0x6000n | S2_PAGE);
    const [next] = board.words(S2_ROOT, 1);
    board.memory.poison(BigInt(next! & ~0xfff), BigInt(next! | 0xfff));
    expect(list(dumpOf(board), 1)).toEqual([[0x80_0000_0000n, 0x6000n, 0x1000n, 3]]);
  });

  test('tables that point at each other without end come to an end', () => {
    const board = SmmuBoard.running();
    board.ste(1, S2_STE);
    for (let i = 0n; i < 512n; i++) board.put64(S2_ROOT + i * 8n, S2_ROOT | 3n);
    for (let i = 0n; i < 512n; i++) board.put64(0x300_0000n + i * 8n, 0x300_0000n | S2_PAGE);
    board.put64(S2_ROOT, 0x300_0000n | 3n);
    // Level 3 of the loop is a page of its own: some leaves, and a reader that stops when it has enough.
    const some = [];
    for (const m of dumpOf(board).mappings(1, null)) if (some.push(m) === 1000) break;
    expect(some.length).toBe(1000);
    // Level 3 is nothing: no leaf anywhere.
    for (let i = 0n; i < 512n; i++) board.put64(S2_ROOT + i * 8n, 0x400_0000n | 3n);
    for (let i = 0n; i < 512n; i++) board.put64(0x400_0000n + i * 8n, 0x500_0000n | 3n);
    for (let i = 0n; i < 512n; i++) board.put64(0x500_0000n + i * 8n, 0x600_0000n | 3n);
    expect(list(dumpOf(board), 1)).toEqual([]);
    // Level 3 without the access flag.
    for (let i = 0n; i < 512n; i++) board.put64(0x600_0000n + i * 8n, 3n);
    expect(list(dumpOf(board), 1)).toEqual([]);
  });

  test('PASIDs have their own, streams without translation none', () => {
    const board = SmmuBoard.running();
    board.ste(1, { ...S1_STE, S1CDMax: 2, S1DSS: 0 });
    board.ste(2, { V: true, Config: 4 });
    board.cd(CDS + 64n, S1_CD);
    board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0x5000n | S1_PAGE);
    const dump = dumpOf(board);
    expect(list(dump, 1, 1)).toEqual([[0x1000n, 0x5000n, 0x1000n, 3]]);
    expect([list(dump, 1), list(dump, 1, 0), list(dump, 1, 99), list(dump, 2), list(dump, 999_999)]).toEqual([
      [],
      [],
      [],
      [],
      [],
    ]);
  });
});

describe('rings', () => {
  test('oldest first, with what is still to be taken', () => {
    const board = SmmuBoard.running();
    for (let i = 0; i < 20; i++) board.raw([0x46, i, 0, 0]);
    board.raw([0xff, 0, 0, 0]);
    board.raw([0x46, 21, 0, 0]);
    const entries = [...dumpOf(board).queue('command')];
    expect(entries.map((e) => [e.index, e.bytes[0], e.bytes[4], e.consumed])).toEqual([
      ...Array.from({ length: 14 }, (_, i) => [(i + 6) % 16, 0x46, i + 6, true]),
      [4, 0xff, 0, false],
      [5, 0x46, 21, false],
    ]);
  });

  test('the dump is read, not worked on: no queue moves, no record is written', () => {
    const board = SmmuBoard.running();
    board.set('CR0', 5n);
    board.raw([0x46, 0, 0, 0]);
    board.set('CR0', 5n);
    const dump = dumpOf(board);
    const before = [board.words(CMDQ, 64), board.words(EVENTQ, 64)];
    dump.hardware.mmio.write32(0x20, 0xd);
    dump.hardware.mmio.write32(0x98, 2);
    expect(dump.hardware.mmio.read32(0x9c)).toBe(0);
    const answer = new DmaAnswer();
    dump.hardware.translate(new DmaRequest(), answer);
    // The answer still carries the record that a running unit would write.
    expect([...answer.record.subarray(0, answer.recordWords)]).toEqual([4, 0, 0, 0, 0, 0, 0, 0]);
    expect([board.words(CMDQ, 64), board.words(EVENTQ, 64)]).toEqual(before);
  });
});
