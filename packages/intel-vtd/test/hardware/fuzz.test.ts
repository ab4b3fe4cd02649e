import { hiOf, loOf, toBig } from '@iommukit/bits';
import { DmaAnswer, DmaRequest, OUTCOME } from '@iommukit/core';
import { SparseMemory } from '@iommukit/machine';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VTD_CONFIGS } from '../../src/config.ts';
import { vtdDecoder } from '../../src/decode/decoder.ts';
import { vtdDump } from '../../src/dump/reader.ts';
import { FAULT_CONDITIONS, FRAME_BYTES, REGISTERS } from '../../src/format/index.ts';
import { VtdHardware } from '../../src/hardware/hardware.ts';

const numRuns = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const configs = fc.constantFrom(...VTD_CONFIGS);

/** Eight pages that point at each other a lot, so that walks go deep before they meet rubbish. */
const BASE = 0x10_0000;
const PAGES = 8;
const pointer = fc
  .tuple(fc.nat(PAGES), fc.nat(0xfff), fc.constantFrom(0n, 0n, 0n, 1n << 62n, 1n << 51n, 1n << 11n))
  .map(([page, low, stray]) => BigInt(BASE + page * 4096) | BigInt(low) | stray);
const anything = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const word = fc.oneof({ weight: 6, arbitrary: pointer }, { weight: 1, arbitrary: anything });

const request = fc.record({
  device: fc.oneof(fc.constantFrom(0, 1, 0x80), fc.nat(0x1_ffff)),
  pasid: fc.constantFrom(-1, -1, 0, 1, 64, 0xf_ffff, 1 << 20),
  iova: fc.oneof(
    fc.nat(0xffff).map(BigInt),
    fc.nat(0xfff).map((low) => 0xfee0_0000n | BigInt(low)),
    anything,
    anything.map((value) => value >> 16n),
  ),
  access: fc.constantFrom(0, 1, 2) as fc.Arbitrary<0 | 1 | 2>,
  privileged: fc.boolean(),
  kind: fc.constantFrom(0, 0, 0, 0, 1, 2) as fc.Arbitrary<0 | 1 | 2>,
});

/** Words scattered over the pages: `[index, value]`, and everything else filled with one of them. */
const contents = fc.tuple(
  fc.array(fc.tuple(fc.nat(PAGES * 512 - 1), word), { maxLength: 40 }),
  fc.array(word, { minLength: PAGES, maxLength: PAGES }),
);

function fill(
  memory: SparseMemory,
  [scattered, bases]: readonly [readonly (readonly [number, bigint])[], readonly bigint[]],
): void {
  const put = (index: number, value: bigint) => memory.write64(0, BASE + index * 8, hiOf(value), loOf(value));
  bases.forEach((value, page) => {
    for (let i = 0; i < 16; i++) put(page * 512 + i, value);
  });
  for (const [index, value] of scattered) put(index, value);
}

/** An answer is one of three, a fault carries a reason the manual knows, and what is recorded is whole. */
function sane(answer: DmaAnswer): void {
  expect([OUTCOME.TRANSLATED, OUTCOME.BYPASS, OUTCOME.FAULT]).toContain(answer.outcome);
  if (answer.outcome !== OUTCOME.FAULT) {
    expect(answer.permissions & 3).not.toBe(0);
    return;
  }
  expect(answer.code === -1 || FAULT_CONDITIONS.has(answer.code)).toBe(true);
  expect([0, 4]).toContain(answer.recordWords);
  if (answer.recordWords === 4) expect(vtdDecoder.decode('fault', recordBytes(answer)).problems).toEqual([]);
}

const recordBytes = (answer: DmaAnswer): Uint8Array => new Uint8Array(answer.record.slice(0, 4).buffer);

const answer = new DmaAnswer();
const dma = new DmaRequest();

function ask(hardware: VtdHardware, { iova, ...rest }: typeof request extends fc.Arbitrary<infer T> ? T : never): void {
  Object.assign(dma, rest, { iovaHi: hiOf(iova), iovaLo: loOf(iova) });
  hardware.translate(dma, answer);
  sane(answer);
}

/** One memory for all runs: a machine a run would cost more than the run. */
const memory = new SparseMemory([{ start: BigInt(BASE), last: BigInt(BASE + PAGES * 4096) - 1n }]);
const units = new Map(
  VTD_CONFIGS.map((config) => [
    config.name,
    new VtdHardware({ memory, irq: {}, defer: (work) => work() }, config.hardware),
  ]),
);

describe('rubbish in memory', () => {
  test('tables: every request gets an architected answer, warm or cold', () => {
    fc.assert(
      fc.property(
        configs,
        contents,
        fc.nat(3),
        fc.array(request, { minLength: 1, maxLength: 4 }),
        (config, words, ttm, requests) => {
          const hardware = units.get(config.name)!;
          fill(memory, words);
          hardware.reset();
          hardware.mmio.write64(REGISTERS.RTADDR.at, BigInt(BASE | (ttm << 10)));
          hardware.mmio.write32(REGISTERS.GCMD.at, 0x4000_0000);
          hardware.mmio.write32(REGISTERS.GCMD.at, 0x8000_0000);
          for (const each of requests) ask(hardware, each);
          const again = requests.at(-1)!;
          ask(hardware, again);
          const { outcome, paLo } = answer;
          const warm = [outcome, outcome === OUTCOME.FAULT ? answer.code : paLo];
          ask(hardware, again);
          expect([answer.outcome, answer.outcome === OUTCOME.FAULT ? answer.code : answer.paLo]).toEqual(warm);
        },
      ),
      { numRuns },
    );
  });

  test('queue: any ring, any indices, any width; the head stays in the ring or the queue stops', () => {
    const field = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(configs, contents, fc.nat(0xf), field, field, fc.nat(3), (config, words, iqa, first, second, ttm) => {
        const hardware = units.get(config.name)!;
        fill(memory, words);
        hardware.reset();
        const { mmio } = hardware;
        mmio.write64(REGISTERS.RTADDR.at, BigInt(BASE | (ttm << 10)));
        mmio.write32(REGISTERS.GCMD.at, 0x4000_0000);
        mmio.write64(REGISTERS.IQA.at, BigInt(BASE | (iqa & 7) | (iqa & 8 ? 0x800 : 0)));
        mmio.write32(REGISTERS.GCMD.at, 0x0400_0000);
        for (const tail of [first, second]) {
          mmio.write64(REGISTERS.IQT.at, BigInt(tail));
          mmio.write32(REGISTERS.FSTS.at, 0x70);
        }
        const stopped = (mmio.read32(REGISTERS.FSTS.at) & 0x10) !== 0;
        const [head, tail] = [mmio.read64(REGISTERS.IQH.at), mmio.read64(REGISTERS.IQT.at)];
        if ('IQT' in hardware.unit.registers.table) expect(stopped || head === tail).toBe(true);
      }),
      { numRuns },
    );
  });
});

describe('rubbish in registers', () => {
  test('any writes at any offset leave a unit that answers', () => {
    const write = fc.tuple(
      fc.oneof(
        fc.constantFrom(...Object.values(REGISTERS).map(({ at }) => at as number), 0xf0, 0xf8, 0x220, 0x22c),
        fc.integer({ min: -8, max: FRAME_BYTES + 8 }),
      ),
      fc.constantFrom(4, 8),
      fc.oneof(word, anything),
    );
    fc.assert(
      fc.property(configs, contents, fc.array(write, { maxLength: 12 }), request, (config, words, writes, each) => {
        const hardware = units.get(config.name)!;
        fill(memory, words);
        hardware.reset();
        const { mmio } = hardware;
        for (const [at, size, value] of writes) {
          if (size === 8) mmio.write64(at, value);
          else mmio.write32(at, Number(value & 0xffff_ffffn));
          expect(mmio.read32(at)).toBeGreaterThanOrEqual(0);
        }
        ask(hardware, each);
        expect(toBig(Number(mmio.read64(REGISTERS.CAP.at) >> 32n), 0) >> 32n).toBe(config.hardware.cap >> 32n);
      }),
      { numRuns },
    );
  });
});

describe('rubbish in dumps', () => {
  test('any frame over any memory opens, answers, lists and decodes', () => {
    const frame = fc.tuple(
      anything,
      anything,
      fc.nat(0xff),
      fc.nat(0xffff_ffff),
      word,
      word,
      fc.nat(0xffff),
      fc.nat(0xffff),
    );
    fc.assert(
      fc.property(frame, contents, request, ([cap, ecap, ver, gsts, root, iqa, head, tail], words, each) => {
        fill(memory, words);
        const view = new DataView(new ArrayBuffer(0x230));
        view.setUint32(0, ver, true);
        view.setBigUint64(8, cap, true);
        view.setBigUint64(0x10, ecap, true);
        view.setUint32(0x1c, gsts, true);
        view.setBigUint64(0x20, root, true);
        view.setBigUint64(0x80, BigInt(head), true);
        view.setBigUint64(0x88, BigInt(tail), true);
        view.setBigUint64(0x90, iqa, true);
        const reader = vtdDump.open(memory, new Uint8Array(view.buffer), { hostAddressBits: 46 });
        ask(reader.hardware as VtdHardware, each);
        let left = 4;
        for (const { device, pasid } of reader.devices()) {
          if (left-- === 0) break;
          let mappings = 16;
          for (const { size } of reader.mappings(device, pasid)) {
            expect(size).toBeGreaterThan(0n);
            if (mappings-- === 0) break;
          }
        }
        let entries = 8;
        for (const { bytes } of reader.queue('invalidation')) {
          expect(vtdDecoder.decode('descriptor', bytes).raw).toHaveLength(bytes.length * 2);
          if (entries-- === 0) break;
        }
      }),
      { numRuns: Math.min(numRuns, 2000) },
    );
  });

  test('any bytes of any kind decode', () => {
    const kinds = vtdDecoder.kinds.flatMap((kind) => vtdDecoder.sizes(kind).map((size) => [kind, size] as const));
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.uint8Array({ minLength: 64, maxLength: 64 }), ([kind, size], bytes) => {
        const entry = vtdDecoder.decode(kind, bytes.subarray(0, size));
        expect(entry.name === 'UNKNOWN').toBe(entry.problems.length > 0);
      }),
      { numRuns },
    );
  });
});
