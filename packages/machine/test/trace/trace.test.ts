import { ACCESS } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeTrace,
  encodeTrace,
  Machine,
  type MachineOptions,
  MEMORY_MAP,
  record,
  replay,
  type Trace,
} from '../../src/index.ts';
import { REG, toy } from '../support/toy.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);

/** Drives two units, an interrupt handler, faults, poison, a schedule change and a reset. */
function scenario(options: MachineOptions = {}): Trace {
  const machine = new Machine({ ...options, record: true });
  const recording = record(machine);
  const unit = machine.addUnit(toy());
  machine.addUnit(toy({ id: 'other' })).ports.mmio.write32(REG.DOORBELL, 3);
  const { ports } = unit;
  const table = ports.pages.alloc(4096);
  const log = ports.pages.alloc(4096);
  ports.irq.event!.handle(() => ports.memory.write32(0, log + 8, ports.mmio.read32(REG.FAULTS)));
  ports.memory.write64(0, table + 8, 1, 0x7003);
  ports.memory.compareExchange64(0, table + 16, 0, 0, 0, 0x9001);
  ports.mmio.write64(REG.BASE, BigInt(table));
  ports.mmio.write64(REG.LOG, BigInt(log));
  ports.mmio.write8(REG.NARROW, 5);
  const endpoint = unit.endpoint({ requesterIds: [7], pasidBits: 4 });
  endpoint.write(0x1ff8n, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
  endpoint.read(0x2000n, 8, { pasid: 3 });
  endpoint.translate(0, 0x5000, ACCESS.READ);
  for (let i = 0; i < 9; i++) ports.time.relax();
  machine.memory.poison(BigInt(table), BigInt(table) + 0xfffn);
  endpoint.read(0x1000n, 4);
  machine.memory.heal();
  machine.schedule = { afterPolls: 2 };
  ports.mmio.write32(REG.DOORBELL, 1);
  ports.mmio.read16(REG.DONE);
  endpoint.read(0x1000n, 4);
  machine.reset();
  ports.mmio.write64(REG.BASE, BigInt(table));
  endpoint.read(0x1000n, 4);
  ports.pages.free(log);
  return recording.take();
}

const undriven = (crooked = false) => {
  const config = toy().configs[0]!;
  return ({ vendor }: { vendor: string }) => ({ plugin: toy({ id: vendor, crooked, driver: false }), config });
};

describe('trace', () => {
  test.each(['at-once', { afterPolls: 3 }, { seed: 99 }] as const)('replays without a driver: %j', (schedule) => {
    const trace = scenario({ schedule });
    const report = replay(trace, undriven());
    expect(report).toEqual({ ok: true, entries: trace.entries.length, differences: [] });
    expect([...new Set(trace.entries.map((entry) => entry.op))].sort().join(' ')).toBe(
      'dma heal memory poison read relax reset schedule settle unit write',
    );
  });

  test('does not record what hardware writes: the model writes it again', () => {
    const trace = scenario();
    const log = trace.memory.find(({ address }) => address === MEMORY_MAP.pages.start + 0x1000n)!;
    expect([...log.bytes.subarray(0, 4)]).toEqual([0, 0x10, 0, 0]);
    const touched = trace.entries.filter((entry) => entry.op === 'memory' && entry.address === log.address);
    expect(touched.map((entry) => entry.op === 'memory' && entry.bytes.length)).toEqual([4096]);
  });

  test('hardware that answers otherwise is found', () => {
    const report = replay(scenario(), undriven(true));
    expect(report.ok).toBe(false);
    expect(report.differences[0]!.what).toMatch(/answer to device 7/);
    expect(report.differences[0]!.recorded).toMatch(/pa=0x100007ff8/);
  });

  test('a register that reads otherwise, a memory word that differs: found and named', () => {
    const trace = scenario();
    const entries = trace.entries.map((entry) =>
      entry.op === 'read' && entry.offset === REG.FAULTS ? { ...entry, value: 77n } : entry,
    );
    const memory = trace.memory.map((page, i) => (i === 0 ? { ...page, bytes: page.bytes.map((b) => b ^ 1) } : page));
    const { differences } = replay({ ...trace, entries, memory }, undriven());
    expect(differences[0]).toMatchObject({ what: expect.stringMatching(/read of 4 bytes at 0x24/), recorded: '4d' });
    expect(differences.at(-1)!.entry).toBe(-1);
    expect(replay({ ...trace, memory: [] }, undriven()).ok).toBe(false);
  });

  test('with a plugin alone, every unit is of that vendor in its recorded configuration', () => {
    const trace = scenario();
    expect(replay(trace, toy({ driver: false })).ok).toBe(true);
    expect(() => replay(trace, { ...toy(), configs: [] })).toThrow(/no configuration 'only'/);
  });

  test('recording needs a fresh machine made for it', () => {
    expect(() => record(new Machine())).toThrow(/record: true/);
    const machine = new Machine({ record: true });
    machine.addUnit(toy());
    expect(() => record(machine)).toThrow(/before the first unit/);
  });

  test('stop() ends it', () => {
    const machine = new Machine({ record: true });
    const recording = record(machine);
    const { ports } = machine.addUnit(toy());
    recording.stop();
    ports.mmio.write32(REG.DOORBELL, 1);
    expect(recording.take().entries).toHaveLength(1);
  });

  test('survives JSONL', () => {
    const trace = scenario({ ram: [{ start: 0n, last: 0xf_ffff_ffffn }], schedule: { seed: 4 } });
    const text = encodeTrace(trace);
    expect(decodeTrace(text)).toEqual(trace);
    expect(replay(decodeTrace(text), undriven()).ok).toBe(true);
    expect(text).toContain('"op":"write","unit":0,"offset":0,"size":8,"value":{"$n":"0x40000000"}');
  });

  test.each([
    ['nothing', '', /line 1: no iommukit-trace header/],
    ['another format', '{"format":"x"}\n', /line 1/],
    ['no JSON', 'hello\n', /line 1: not a JSON object/],
    ['bad hex', `${encodeTrace(scenario()).split('\n')[0]}\n{"$b":"zz"}\n`, /line 2: not a JSON object/],
    ['a line missing', encodeTrace(scenario()).split('\n').slice(0, -2).join('\n'), /announced/],
  ])('%s is no trace', (_title, text, message) => {
    expect(() => decodeTrace(text)).toThrow(message);
  });

  test('any order of accesses replays the same, under any seed', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('w' as const), offset: fc.constantFrom(...Object.values(REG)), value: fc.nat() }),
      fc.record({ op: fc.constant('r' as const), offset: fc.nat(0x3c).map((n) => n & ~3) }),
      fc.record({ op: fc.constant('d' as const), iova: fc.nat(0xffff) }),
      fc.record({ op: fc.constant('m' as const), address: fc.nat(0x2000), bytes: fc.uint8Array({ maxLength: 20 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer(), (steps, seed) => {
        const machine = new Machine({ record: true, schedule: { seed } });
        const recording = record(machine);
        const unit = machine.addUnit(toy());
        const { mmio, irq, memory } = unit.ports;
        irq.event!.handle(() => mmio.read32(REG.DONE));
        const endpoint = unit.endpoint({ requesterIds: [1] });
        for (const it of steps) {
          if (it.op === 'w') mmio.write32(it.offset, it.value);
          else if (it.op === 'r') mmio.read32(it.offset);
          else if (it.op === 'd') endpoint.write(BigInt(it.iova), Uint8Array.of(it.iova & 0xff, 1));
          else memory.writeBytes(BigInt(it.address), it.bytes);
        }
        const report = replay(recording.take(), toy({ driver: false }));
        expect(report.differences).toEqual([]);
      }),
      { numRuns: Math.ceil(RUNS / 20) },
    );
  });
});
