import { describe, expect, test } from 'vitest';
import { CMDQ, SmmuBoard } from './board.ts';

const SYNC = [0x46, 0, 0, 0];
const ILL = 1n << 24n;
const ABT = 2n << 24n;

/** Runs one command on a fresh unit; the error code it leaves in CMDQ_CONS. */
function errorOf(words: readonly number[], config = {}): number {
  const board = SmmuBoard.running(config);
  board.raw(words);
  return Number((board.get('CMDQ_CONS') >> 24n) & 0x7fn);
}

describe('what is illegal, IHI 0070 4 and 7.1', () => {
  const both = {};
  const s1 = { s2: false };
  const s2 = { s1: false, ssidBits: 0 };
  const v31 = { v32: false };
  const rows: readonly (readonly [string, number[], object, number])[] = [
    ['PREFETCH_CONFIG', [0x01, 0, 0, 0], both, 0],
    ['PREFETCH_ADDR', [0x02, 0, 0, 0], both, 0],
    ['CFGI_STE', [0x03, 0, 1, 0], both, 0],
    ['CFGI_STE_RANGE', [0x04, 0, 31, 0], both, 0],
    ['CFGI_CD', [0x05, 0, 1, 0], s1, 0],
    ['CFGI_CD without stage 1', [0x05, 0, 1, 0], s2, 1],
    ['CFGI_CD_ALL without stage 1', [0x06, 0, 0, 0], s2, 1],
    ['CFGI_VMS_PIDM without MPAM', [0x07, 0, 0, 0], both, 1],
    ['TLBI_NH_ALL', [0x10, 0, 0, 0], both, 0],
    ['TLBI_NH_ALL without stage 1', [0x10, 0, 0, 0], s2, 1],
    ['TLBI_NH_ASID without stage 1', [0x11, 0, 0, 0], s2, 1],
    ['TLBI_NH_VA without stage 1', [0x12, 0, 0, 0], s2, 1],
    ['TLBI_NH_VAA without stage 1', [0x13, 0, 0, 0], s2, 1],
    ['TLBI_EL3_ALL', [0x18, 0, 0, 0], both, 1],
    ['TLBI_EL3_VA', [0x1a, 0, 0, 0], both, 1],
    ['TLBI_EL2_ALL', [0x20, 0, 0, 0], both, 0],
    ['TLBI_EL2_ALL without HYP', [0x20, 0, 0, 0], v31, 1],
    ['TLBI_EL2_ASID without HYP', [0x21, 0, 0, 0], v31, 1],
    ['TLBI_EL2_VA without HYP', [0x22, 0, 0, 0], v31, 1],
    ['TLBI_EL2_VAA', [0x23, 0, 0, 0], both, 0],
    ['TLBI_S12_VMALL without stage 2', [0x28, 0, 0, 0], s1, 1],
    ['TLBI_S2_IPA without stage 2', [0x2a, 0, 0, 0], s1, 1],
    ['TLBI_NSNH_ALL with stage 1 only', [0x30, 0, 0, 0], s1, 0],
    ['TLBI_NSNH_ALL with stage 2 only', [0x30, 0, 0, 0], s2, 0],
    ['ATC_INV without ATS', [0x40, 0, 0, 0], both, 1],
    ['PRI_RESP without PRI', [0x41, 0, 0, 0], both, 1],
    ['RESUME without stalls', [0x44, 0, 0, 0], both, 1],
    ['STALL_TERM without stalls', [0x45, 0, 0, 0], both, 1],
    ['SYNC', SYNC, both, 0],
    ['SYNC, SIG_SEV', [0x2046, 0, 0, 0], both, 0],
    ['SYNC, CS=3', [0x3046, 0, 0, 0], both, 1],
    ['opcode 0', [0, 0, 0, 0], both, 1],
    ['opcode 0xff', [0xff, 0, 0, 0], both, 1],
    ['SSec=1', [0x403, 0, 1, 0], both, 1],
    ['a reserved bit 10 of a TLBI', [0x410, 0, 0, 0], both, 0],
    // Range fields: TG in 75:74, TTL in 73:72, NUM 16:12, SCALE 24:20.
    ['TG without range or level', [0x12, 0, 1 << 10, 0], both, 1],
    ['TG with NUM', [0x1012, 0, 1 << 10, 0], both, 0],
    ['TG with SCALE', [0x10_0012, 0, 1 << 10, 0], both, 0],
    ['TG with TTL', [0x12, 0, (1 << 10) | (3 << 8), 0], both, 0],
    ['TG=16K with TTL=1, which counts as none', [0x12, 0, (2 << 10) | (1 << 8), 0], both, 1],
    ['TG=4K with TTL=1', [0x12, 0, (1 << 10) | (1 << 8), 0], both, 0],
    ['NUM and TTL without TG', [0x1012, 0, 3 << 8, 0], both, 0],
    ['S2_IPA: TG without range or level', [0x2a, 0, 3 << 10, 0], both, 1],
    ['NH_VAA: TG without range or level', [0x13, 0, 3 << 10, 0], both, 1],
    ['EL2_VA: TG without range or level', [0x22, 0, 3 << 10, 0], both, 1],
    ['the same without RIL', [0x12, 0, 1 << 10, 0], v31, 0],
  ];
  test.each(rows)('%s', (_title, words, config, code) => {
    expect(errorOf(words, config)).toBe(code);
  });
});

describe('stopping and going on, IHI 0070 7.1', () => {
  test('CONS stays on the bad command; the rest waits; acknowledging retries the slot', () => {
    const board = SmmuBoard.running();
    board.raw(SYNC);
    board.raw([0xff, 0, 0, 0]);
    board.raw(SYNC);
    expect(board.get('CMDQ_CONS')).toBe(1n | ILL);
    expect([board.get('GERROR'), board.get('GERRORN')]).toEqual([1n, 0n]);
    expect(board.irq.gerror).toBe(1);
    // Nothing moves before the acknowledgement, not even with a doorbell or CMDQEN toggled.
    board.raw(SYNC);
    board.set('CR0', 0x5n);
    board.set('CR0', 0xdn);
    expect(board.get('CMDQ_CONS')).toBe(1n | ILL);
    // Acknowledged, but as bad as before: another error, the bit toggles back.
    board.set('GERRORN', 1n);
    expect([board.get('CMDQ_CONS'), board.get('GERROR')]).toEqual([1n | ILL, 0n]);
    expect(board.irq.gerror).toBe(2);
    // Repaired in memory, then acknowledged: no doorbell needed.
    board.put(CMDQ + 16n, SYNC);
    board.set('GERRORN', 0n);
    expect(board.get('CMDQ_CONS') & 0xf_ffffn).toBe(4n);
    expect(board.get('GERROR')).toBe(board.get('GERRORN'));
  });

  test('a fetch that aborts', () => {
    const board = SmmuBoard.running();
    board.raw(SYNC);
    board.memory.poison(CMDQ + 16n, CMDQ + 31n);
    board.set('CMDQ_PROD', 3n);
    expect(board.get('CMDQ_CONS')).toBe(1n | ABT);
    board.memory.heal();
    board.put(CMDQ + 16n, SYNC);
    board.put(CMDQ + 32n, SYNC);
    board.set('GERRORN', 1n);
    expect(board.get('CMDQ_CONS') & 0xf_ffffn).toBe(3n);
  });

  test('toggling an inactive bit of GERRORN does nothing', () => {
    const board = SmmuBoard.running();
    board.set('GERRORN', 0x7fdn);
    expect(board.get('GERRORN')).toBe(0n);
  });

  test('the ring wraps; indices that make no sense stand still', () => {
    const board = SmmuBoard.running();
    for (let i = 0; i < 100; i++) board.raw(SYNC);
    // 100 mod 32: sixteen slots and a wrap bit.
    expect(board.get('CMDQ_CONS')).toBe(4n);
    for (const prod of [0x1fn, 0x15n, 0x3n]) {
      board.set('CMDQ_PROD', prod);
      expect(board.get('CMDQ_CONS') & 0xf_ffffn).toBe(4n);
    }
    expect(board.get('GERROR')).toBe(board.get('GERRORN'));
  });

  test('a full queue is processed whole', () => {
    const board = SmmuBoard.running();
    for (let i = 0n; i < 16n; i++) board.put(CMDQ + i * 16n, SYNC);
    board.set('CMDQ_PROD', 16n);
    expect(board.get('CMDQ_CONS')).toBe(16n);
  });

  test('one-entry queues have their wrap bit at bit 0', () => {
    const board = new SmmuBoard();
    board.queues(0n);
    board.set('CR0', 8n);
    for (let i = 0; i < 5; i++) board.raw(SYNC);
    expect(board.get('CMDQ_CONS')).toBe(1n);
  });

  test('LOG2SIZE beyond CMDQS is capped, and reads back as written', () => {
    const board = new SmmuBoard({ cmdqLg2: 2 });
    board.set('CMDQ_BASE', CMDQ | 9n);
    board.set('CR0', 8n);
    for (let i = 0n; i < 4n; i++) board.put(CMDQ + i * 16n, SYNC);
    board.set('CMDQ_PROD', 4n);
    expect(board.get('CMDQ_CONS')).toBe(4n);
    board.set('CMDQ_PROD', 0n);
    expect(board.get('CMDQ_CONS')).toBe(0n);
    expect(board.get('CMDQ_BASE')).toBe(CMDQ | 9n);
  });

  test('CMDQEN = 0 takes nothing; enabling takes what waits', () => {
    const board = new SmmuBoard();
    board.queues();
    board.raw(SYNC);
    expect(board.get('CMDQ_CONS')).toBe(0n);
    board.set('CR0', 8n);
    expect(board.get('CMDQ_CONS')).toBe(1n);
  });
});

describe('completion of CMD_SYNC', () => {
  const message = (address: bigint, data: number) => [
    0x1046,
    data,
    Number(address & 0xffff_fffcn),
    Number(address >> 32n),
  ];

  test('CS=1 with an address writes the data there', () => {
    const board = SmmuBoard.running();
    board.raw(message(0x12_3456_7890n, 0xdead_beef));
    expect(board.words(0x12_3456_7890n, 1)).toEqual([0xdead_beef]);
    expect(board.irq['cmdq-sync']).toBe(0);
  });

  test('a message may go into the command’s own slot', () => {
    const board = SmmuBoard.running();
    board.raw(message(CMDQ, 0));
    expect(board.words(CMDQ, 1)).toEqual([0]);
    expect(board.get('CMDQ_CONS')).toBe(1n);
  });

  test('CS=1 without an address, or without MSI, is a wire', () => {
    const board = SmmuBoard.running();
    board.raw([0x1046, 5, 0, 0]);
    expect(board.irq['cmdq-sync']).toBe(1);
    const wired = SmmuBoard.running({ msi: false });
    wired.raw(message(0x7000_0000n, 5));
    expect([wired.irq['cmdq-sync'], ...wired.words(0x7000_0000n, 1)]).toEqual([1, 0]);
  });

  test('CS=0 and CS=2 tell nobody', () => {
    const board = SmmuBoard.running();
    board.raw([0x46, 5, 0x1000, 0]);
    board.raw([0x2046, 5, 0x1000, 0]);
    expect([board.irq['cmdq-sync'], ...board.words(0x1000n, 1)]).toEqual([0, 0]);
  });

  test('a message that aborts is a global error; the queue goes on', () => {
    const board = SmmuBoard.running();
    board.memory.poison(0x9000n, 0x9003n);
    board.raw(message(0x9000n, 5));
    expect([board.get('GERROR'), board.get('CMDQ_CONS')]).toEqual([0x10n, 1n]);
    expect(board.irq.gerror).toBe(1);
  });
});
