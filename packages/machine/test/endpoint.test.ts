import { ACCESS, OUTCOME } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Machine } from '../src/index.ts';
import { REG, type ToyHardware, toy } from './support/toy.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const TABLE = 0x5000_0000;

/** IOVA pages 1 and 2 at 0x8000_3000 and 0x8_0000_1000 (read-only), 4 at an address past RAM. */
function rig(busLimits: { start: bigint; last: bigint }[] = []) {
  const machine = new Machine({ ram: [{ start: 0n, last: 0xf_ffff_ffffn }] });
  const unit = machine.addUnit(toy());
  const map = (page: number, hi: number, lo: number) => machine.memory.write64(0, TABLE + page * 8, hi, lo);
  map(1, 0, 0x8000_3003 | 0);
  map(2, 8, 0x0000_1001);
  map(4, 0x10, 0x0000_0003);
  map(5, 0, 0x8000_0003 | 0);
  unit.ports.mmio.write64(REG.BASE, BigInt(TABLE));
  const endpoint = unit.endpoint({ requesterIds: [0x10, 0x11], busLimits });
  return { machine, unit, endpoint, map, hardware: unit.hardware as ToyHardware };
}

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff);

describe('Endpoint', () => {
  test('splits at pages, and data lands where the table says', () => {
    const { machine, endpoint } = rig();
    machine.memory.writeBytes(0x8000_3ffen, Uint8Array.of(1, 2));
    machine.memory.writeBytes(0x8_0000_1000n, Uint8Array.of(3, 4));
    const result = endpoint.read(0x1ffen, 4);
    expect(result).toEqual({ ok: true, done: 4, data: Uint8Array.of(1, 2, 3, 4), faults: [] });
  });

  test('stops at the first fault; what lies before it is done', () => {
    const { machine, endpoint } = rig();
    const result = endpoint.write(0x1ff0n, bytes(0x40));
    expect(result.ok).toBe(false);
    expect(result.done).toBe(0x10);
    expect(result.faults).toEqual([
      {
        iova: 0x2000n,
        reason: 'permission',
        name: 'TOY_REFUSED',
        code: 2,
        record: Uint8Array.of(0, 0x20, 0, 0),
        atBus: false,
      },
    ]);
    const landed = new Uint8Array(0x10);
    machine.memory.readBytes(0x8000_3ff0n, landed);
    expect(landed).toEqual(bytes(0x10));
  });

  test('a translated address where nothing answers is the bus’s fault', () => {
    const { endpoint } = rig();
    const result = endpoint.read(0x4000n, 8);
    expect(result.faults).toEqual([
      { iova: 0x4000n, reason: 'fetch-abort', name: 'ABORT', code: -1, record: null, atBus: true },
    ]);
    expect(result.data).toEqual(new Uint8Array(0));
  });

  test('outside the bus’s windows the unit is never asked', () => {
    const { endpoint, unit, hardware } = rig([
      { start: 0x5000n, last: 0x5fffn },
      { start: 0x1_0000_0000n, last: 0x1_0000_0fffn },
    ]);
    const result = endpoint.read(0x5ff0n, 0x20);
    expect(result.done).toBe(0x10);
    expect(result.faults[0]).toMatchObject({ iova: 0x6000n, reason: 'address-size', atBus: true, code: -1 });
    expect(endpoint.translate(0, 0x4fff, ACCESS.READ)).toBe(OUTCOME.FAULT);
    expect(hardware.mmio.words[REG.FAULTS >> 2]).toBe(0);
    expect(endpoint.translate(1, 0, ACCESS.READ)).toBe(OUTCOME.FAULT);
    expect(endpoint.translate(1, 0x1000, ACCESS.READ)).toBe(OUTCOME.FAULT);
    expect(endpoint.answer.code).toBe(-1);
    expect(unit.ports.mmio.read32(REG.FAULTS)).toBe(1);
  });

  test('the request carries what was asked, the device’s own id by default', () => {
    const { endpoint } = rig();
    endpoint.execute(0x1000n, 1);
    expect(endpoint.request).toMatchObject({ device: 0x10, pasid: -1, access: ACCESS.EXECUTE, privileged: false });
    endpoint.read(0x1000n, 1, { requesterId: 0x11, pasid: 5, privileged: true });
    expect(endpoint.request).toMatchObject({ device: 0x11, pasid: 5, access: ACCESS.READ, privileged: true });
    endpoint.translate(-1, -4096, ACCESS.WRITE);
    expect(endpoint.request).toMatchObject({ device: 0x10, pasid: -1, iovaHi: -1, iovaLo: -4096, privileged: false });
    endpoint.request.privileged = true;
    expect(endpoint.send()).toBe(OUTCOME.FAULT);
  });

  test('interrupts of a fault are delivered when the DMA is over', () => {
    const { endpoint, unit } = rig();
    const seen: bigint[] = [];
    unit.ports.irq.event!.handle(() => {
      seen.push(endpoint.read(0x1000n, 1).ok ? 1n : 0n);
    });
    const { faults } = endpoint.read(0x3000n, 1);
    expect(faults[0]).toMatchObject({ iova: 0x3000n, name: 'TOY_MISSING' });
    expect(seen).toEqual([1n]);
    expect(endpoint.translate(0, 0x3000, ACCESS.READ)).toBe(OUTCOME.FAULT);
    expect(seen).toEqual([1n, 1n]);
  });

  test('a range that leaves the address space is misuse', () => {
    const { endpoint } = rig();
    expect(() => endpoint.read((1n << 64n) - 1n, 2)).toThrow(RangeError);
    expect(() => endpoint.write(-1n, bytes(1))).toThrow(RangeError);
    expect(endpoint.read((1n << 64n) - 1n, 1).ok).toBe(false);
    expect(endpoint.read(0x3000n, 0)).toMatchObject({ ok: true, done: 0 });
  });

  test('a device needs an id; its description is complete and frozen', () => {
    const { unit, endpoint } = rig();
    expect(() => unit.endpoint({ requesterIds: [] })).toThrow(RangeError);
    expect(endpoint.description).toEqual({
      name: 'device-0x10',
      requesterIds: [0x10, 0x11],
      pasidBits: 0,
      ats: false,
      pri: false,
      coherent: false,
      isolation: null,
      busLimits: [],
    });
    expect(Object.isFrozen(endpoint.description.requesterIds)).toBe(true);
  });

  test('what was written reads back, whatever the range', () => {
    const { endpoint, map } = rig();
    for (let page = 8; page < 24; page++) map(page, 1, ((page * 0x9000) & ~0xfff) | 3);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x8000 }), fc.uint8Array({ maxLength: 0x8000 }), (offset, data) => {
        const iova = 0x8000n + BigInt(offset);
        expect(endpoint.write(iova, data)).toMatchObject({ ok: true, done: data.length });
        expect(endpoint.read(iova, data.length).data).toEqual(data);
      }),
      { numRuns: Math.ceil(RUNS / 40) },
    );
  });

  test('translate() allocates nothing', () => {
    const { endpoint } = rig();
    const round = () => {
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < 100_000; i++) endpoint.translate(0, 0x1000 | (i & 0xff8), ACCESS.READ, i & 1);
      return process.memoryUsage().heapUsed - before;
    };
    for (let i = 0; i < 5; i++) round();
    const grown = Math.min(...Array.from({ length: 9 }, round).filter((bytes) => bytes >= 0));
    // One object a call would be 1.6 MB.
    expect(grown).toBeLessThan(100_000);
  });
});
