import { REQUEST_KIND } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { CDS, EVENTQ, S1_CD, S1_STE, SmmuBoard } from './board.ts';

const OVFLG = 0x8000_0000n;

/** A unit with an eight-entry event queue and a stream whose every access faults: C_BAD_STE of stream 9. */
function unit(): SmmuBoard {
  return SmmuBoard.running();
}
const fault = (board: SmmuBoard, pasid = -1) => board.dma(9, 0n, { pasid }).record!.length > 0;

describe('the event queue, IHI 0070 3.5 and 7.2', () => {
  test('records as they stand in memory, and PROD', () => {
    const board = unit();
    fault(board);
    fault(board, 0x12345);
    expect(board.words(EVENTQ, 16)).toEqual([4, 9, 0, 0, 0, 0, 0, 0, 0x1234_5804, 9, 0, 0, 0, 0, 0, 0]);
    expect(board.get('EVENTQ_PROD')).toBe(2n);
  });

  test('an interrupt when the queue stops being empty, and only then', () => {
    const board = unit();
    fault(board);
    fault(board);
    expect(board.irq.eventq).toBe(1);
    board.set('EVENTQ_CONS', 1n);
    fault(board);
    expect(board.irq.eventq).toBe(1);
    board.set('EVENTQ_CONS', 3n);
    fault(board);
    expect(board.irq.eventq).toBe(2);
  });

  test('no interrupt while disabled, and none later for what went by', () => {
    const board = unit();
    board.set('IRQ_CTRL', 0n);
    fault(board);
    board.set('IRQ_CTRL', 7n);
    expect(board.irq.eventq).toBe(0);
  });

  test('full: records are lost, OVFLG toggles once until acknowledged', () => {
    const board = unit();
    for (let i = 0; i < 8; i++) expect(fault(board)).toBe(true);
    expect(board.get('EVENTQ_PROD')).toBe(8n);
    expect(fault(board)).toBe(false);
    expect(board.get('EVENTQ_PROD')).toBe(8n | OVFLG);
    expect(fault(board)).toBe(false);
    expect(board.get('EVENTQ_PROD')).toBe(8n | OVFLG);
    // Space appears: records are written again although the overflow is not acknowledged.
    board.set('EVENTQ_CONS', 8n);
    expect(fault(board)).toBe(true);
    expect(board.get('EVENTQ_PROD')).toBe(9n | OVFLG);
    board.set('EVENTQ_CONS', 8n | OVFLG);
    for (let i = 0; i < 7; i++) fault(board);
    expect(board.get('EVENTQ_PROD')).toBe(0n | OVFLG);
    fault(board);
    expect(board.get('EVENTQ_PROD')).toBe(0n);
  });

  test('a disabled queue drops without overflow', () => {
    const board = unit();
    board.set('CR0', 9n);
    expect(board.dma(9, 0n)).toEqual({ outcome: 'fault', event: 'C_BAD_STE', record: [] });
    expect(board.get('EVENTQ_PROD')).toBe(0n);
  });

  test('a write that aborts: global error, and nothing written until acknowledged', () => {
    const board = unit();
    board.memory.poison(EVENTQ, EVENTQ + 31n);
    expect(fault(board)).toBe(false);
    expect([board.get('GERROR'), board.get('EVENTQ_PROD'), board.irq.gerror]).toEqual([4n, 0n, 1]);
    board.memory.heal();
    expect(fault(board)).toBe(false);
    board.set('GERRORN', 4n);
    expect(fault(board)).toBe(true);
  });

  test('message interrupts, and what becomes of those that abort', () => {
    const board = new SmmuBoard();
    board.set('EVENTQ_IRQ_CFG0', 0x1_0000_0040n);
    board.set('EVENTQ_IRQ_CFG1', 0x77n);
    board.set('GERROR_IRQ_CFG0', 0x1_0000_0080n);
    board.set('GERROR_IRQ_CFG1', 0x88n);
    board.start();
    fault(board);
    expect(board.words(0x1_0000_0040n, 1)).toEqual([0x77]);
    expect(board.irq.eventq).toBe(0);
    board.memory.poison(0x1_0000_0040n, 0x1_0000_0043n);
    board.set('EVENTQ_CONS', 1n);
    fault(board);
    // MSI_EVENTQ_ABT, told by the error interrupt's own message.
    expect([board.get('GERROR'), ...board.words(0x1_0000_0080n, 1)]).toEqual([0x20n, 0x88]);
  });

  test('an error interrupt that aborts raises MSI_GERROR_ABT, and no interrupt for that', () => {
    const board = new SmmuBoard();
    board.set('GERROR_IRQ_CFG0', 0x9000n);
    board.start();
    board.memory.poison(0x9000n, 0x9003n);
    board.raw([0, 0, 0, 0]);
    expect(board.get('GERROR')).toBe(0x81n);
    expect(board.irq.gerror).toBe(0);
  });

  test('indices that make no sense lose records, and nothing else', () => {
    const board = unit();
    board.set('EVENTQ_CONS', 5n);
    expect(fault(board)).toBe(false);
    board.set('EVENTQ_CONS', 0n);
    expect(fault(board)).toBe(true);
  });
});

describe('records of their own kind', () => {
  test('requests a unit without ATS has no use for: F_UUT with the raw attributes', () => {
    const board = unit();
    expect(
      board.dma(9, 0xabc_def0n, { kind: REQUEST_KIND.TRANSLATION, pasid: 2, access: 'execute', privileged: true }),
    ).toEqual({ outcome: 'fault', event: 'F_UUT', record: [0x2801, 9, 0, 0xe, 0xabc_def0, 0, 0, 0] });
  });

  test('a StreamID of 32 bits', () => {
    const board = new SmmuBoard({ sidBits: 32 });
    board.set('STRTAB_BASE_CFG', 0x1_0220n);
    board.queues();
    board.set('CR2', 2n);
    board.set('CR0', 0xdn);
    expect(board.dma(0xffff_fffe, 0n)).toMatchObject({
      event: 'C_BAD_STREAMID',
      record: [2, 0xffff_fffe, 0, 0, 0, 0, 0, 0],
    });
  });

  test('CD.R = 0: aborted, not recorded', () => {
    const board = unit();
    board.ste(1, S1_STE);
    board.cd(CDS, { ...S1_CD, R: false });
    expect(board.dma(1, 0n)).toEqual({ outcome: 'fault', event: 'F_TRANSLATION', record: [] });
    expect(board.get('EVENTQ_PROD')).toBe(0n);
  });
});
