import { describe, expect, test } from 'vitest';
import { legacyRig } from './rig.ts';

const FRCD = 0x220;
const DOORBELL = 0x4100_0000n;

function faulty() {
  const rig = legacyRig();
  const messages: number[] = [];
  rig.memory.attachDevice(DOORBELL, DOORBELL + 0xfffn, {
    write32: (_offset: number, value: number) => {
      messages.push(value);
    },
  } as never);
  rig.write('FEADDR', Number(DOORBELL));
  rig.write('FEDATA', 0x55);
  rig.write('FECTL', 0);
  rig.enable(rig.root);
  const record = (i: number): bigint => rig.hardware.mmio.read64(FRCD + 16 * i + 8);
  const clear = (i: number): void => rig.hardware.mmio.write32(FRCD + 16 * i + 12, 0x8000_0000);
  return Object.assign(rig, { messages, record, clear });
}

describe('fault recording', () => {
  test('records fill in turn; one message for the first', () => {
    const rig = faulty();
    rig.read(0x1000n);
    rig.writes(0x2000n, { device: 0x0123 });
    expect([rig.hardware.mmio.read64(FRCD), rig.record(0)]).toEqual([0x1000n, 0xc000_0006_0000_0010n]);
    expect([rig.hardware.mmio.read64(FRCD + 16), rig.record(1)]).toEqual([0x2000n, 0x8000_0001_0000_0123n]);
    expect(rig.reg('FSTS')).toBe(2n);
    expect(rig.messages).toEqual([0x55]);
  });

  test('after the last F bit is cleared the next fault is a new event, at the next index', () => {
    const rig = faulty();
    rig.read(0x1000n);
    rig.clear(0);
    expect(rig.reg('FSTS')).toBe(0n);
    rig.read(0x2000n);
    expect(rig.reg('FSTS')).toBe(0x102n);
    expect(rig.messages).toEqual([0x55, 0x55]);
  });

  test('overflow: PFO, and everything is dropped until it is cleared, free records or not', () => {
    const rig = faulty();
    for (let i = 0; i < 8; i++) expect(rig.ask(BigInt(i) << 12n).record).not.toBeNull();
    expect(rig.ask(0x9000n).record).toBeNull();
    expect(rig.reg('FSTS')).toBe(3n);
    for (let i = 0; i < 8; i++) rig.clear(i);
    expect(rig.reg('FSTS')).toBe(1n);
    expect(rig.ask(0x9000n).record).toBeNull();
    rig.write('FSTS', 1);
    expect(rig.ask(0x9000n).record).not.toBeNull();
    expect(rig.reg('FSTS')).toBe(2n);
    expect(rig.messages).toEqual([0x55, 0x55]);
  });

  test('FPD suppresses the record of a qualified fault, also at P=0, and of no other', () => {
    const rig = faulty();
    rig.put(rig.context, 2n);
    expect(rig.ask(0n)).toEqual({ outcome: 'fault', code: 2, record: null });
    rig.put(rig.context, rig.table | 3n);
    expect(rig.ask(0n)).toEqual({ outcome: 'fault', code: 6, record: null });
    rig.put(rig.root, 0n);
    rig.hardware.dropCaches();
    expect(rig.ask(0n).record).not.toBeNull();
  });

  test('FPD holds for faults answered from the IOTLB too', () => {
    const rig = faulty();
    rig.put(rig.context, rig.table | 3n);
    rig.map(rig.table, 4, 0n, 0x5000_0001n, 3n);
    rig.read(0n);
    expect(rig.writes(0n)).toEqual({ outcome: 'fault', code: 5, record: null });
  });

  test('masked: the message waits in IP; unmasking sends it, clearing the status withdraws it', () => {
    const rig = faulty();
    rig.write('FECTL', 0x8000_0000);
    rig.read(0n);
    expect(rig.reg('FECTL')).toBe(0xc000_0000n);
    expect(rig.messages).toEqual([]);
    rig.write('FECTL', 0);
    expect([rig.reg('FECTL'), rig.messages]).toEqual([0n, [0x55]]);
    rig.clear(0);
    rig.write('FECTL', 0x8000_0000);
    rig.read(0n);
    rig.clear(1);
    expect(rig.reg('FECTL')).toBe(0x8000_0000n);
    rig.write('FECTL', 0);
    expect(rig.messages).toEqual([0x55]);
  });

  test('with translation off the index starts over', () => {
    const rig = faulty();
    rig.read(0n);
    rig.clear(0);
    rig.write('GCMD', 0);
    rig.write('GCMD', 0x8000_0000);
    rig.read(0x7000n);
    expect(rig.hardware.mmio.read64(FRCD)).toBe(0x7000n);
  });

  test('FRI and records are read-only but for F', () => {
    const rig = faulty();
    rig.read(0x1000n);
    rig.hardware.mmio.write64(FRCD, 0n);
    rig.hardware.mmio.write64(FRCD + 8, 0n);
    expect(rig.record(0)).toBe(0xc000_0006_0000_0010n);
    rig.write('FSTS', 0xffff_ffff);
    expect(rig.reg('FSTS')).toBe(2n);
  });
});
