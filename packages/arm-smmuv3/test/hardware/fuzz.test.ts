import { DmaAnswer, DmaRequest, FAULT_REASON, OUTCOME } from '@iommukit/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decoder } from '../../src/decode/decoder.ts';
import { SmmuDump } from '../../src/dump/reader.ts';
import { CD } from '../../src/format/cd.ts';
import { EVENTS } from '../../src/format/events.ts';
import { REGISTERS } from '../../src/format/registers.ts';
import { STE } from '../../src/format/ste.ts';
import {
  CDS,
  CMDQ,
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
} from './board.ts';

const numRuns = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const word = fc.integer({ min: 0, max: 0xffff_ffff });
const words = (count: number) => fc.array(word, { minLength: count, maxLength: count });
/** Few bits changed in something legal goes deeper than noise does. */
const flips = (bits: number) => fc.array(fc.nat(bits - 1), { maxLength: 6 });
const flipped = (base: Uint32Array, bits: readonly number[]): Uint32Array => {
  const copy = base.slice();
  for (const bit of bits) copy[bit >> 5]! ^= 1 << (bit & 31);
  return copy;
};

const request = new DmaRequest();
const answer = new DmaAnswer();

/** Any request gets one of the architected answers, and the record of a fault is that fault's. */
function sane(board: SmmuBoard, sid: number, iovaHi: number, iovaLo: number, mode: number): void {
  request.device = sid;
  request.pasid = mode & 8 ? mode >> 4 : -1;
  request.iovaHi = iovaHi | 0;
  request.iovaLo = iovaLo | 0;
  request.access = (mode % 3) as 0 | 1 | 2;
  request.privileged = (mode & 4) !== 0;
  board.hardware.translate(request, answer);
  const { oas } = board.hardware.unit.features;
  if (answer.outcome === OUTCOME.FAULT) {
    if (answer.code < 0) {
      if (answer.recordWords !== 0) throw new Error('a silent abort was recorded');
      return;
    }
    if (EVENTS[answer.code] === undefined) throw new Error(`event ${answer.code} does not exist`);
    if (answer.reason === FAULT_REASON.UNKNOWN) throw new Error(`event ${answer.code} has no reason`);
    if (answer.recordWords !== 0 && (answer.record[0]! & 0xff) !== answer.code)
      throw new Error('record of another event');
    if (answer.recordWords !== 0 && EVENTS[answer.code]!.layout.reserved(answer.record).length > 0)
      throw new Error(`reserved bits in ${[...answer.record]}`);
  } else if (answer.paHi >>> (oas - 32) !== 0)
    throw new Error(`output ${answer.paHi >>> 0}:${answer.paLo >>> 0} beyond OAS`);
}

function board(config = {}): SmmuBoard {
  const board = SmmuBoard.running(config);
  board.cd(CDS, S1_CD);
  for (const ipa of [0n, S1_ROOT, 0x1000_0000n])
    board.map(S2_ROOT, WALK_4K[1], ipa, (ipa & ~0x3fff_ffffn) | (S2_PAGE & ~2n));
  board.map(S1_ROOT, WALK_4K[3], 0x1000n, 0x5000n | S1_PAGE);
  return board;
}
/** Faults fill the ring; a device that reads it is played by setting CONS. */
function drain(unit: SmmuBoard): void {
  unit.set('EVENTQ_CONS', unit.get('EVENTQ_PROD'));
  if (unit.get('GERROR') !== unit.get('GERRORN')) unit.set('GERRORN', unit.get('GERROR'));
}

test('any words as STE', () => {
  const unit = board();
  const steBases = [S1_STE, S2_STE, NESTED_STE].map((fields) => STE.encode(fields));
  const ste = fc.oneof(
    words(16),
    fc.tuple(fc.nat(2), flips(256)).map(([i, bits]) => flipped(steBases[i]!, bits)),
  );
  fc.assert(
    fc.property(ste, word, word, fc.nat(255), (raw, hi, lo, mode) => {
      unit.put(STRTAB + 64n, raw);
      unit.command([3, 1, 0, 0]);
      sane(unit, 1, 0, 0x1000, mode);
      sane(unit, 1, hi, lo, mode);
      drain(unit);
    }),
    { numRuns },
  );
});

test('any words as CD', () => {
  const unit = board();
  const base = CD.encode({ ...S1_CD, EPD1: false, T1SZ: 16, TG1: 2, TTB1: S1_ROOT });
  const cd = fc.oneof(
    words(16),
    flips(256).map((bits) => flipped(base, bits)),
  );
  unit.ste(1, S1_STE);
  unit.ste(2, NESTED_STE);
  fc.assert(
    fc.property(cd, word, word, fc.nat(7), (raw, hi, lo, mode) => {
      unit.put(CDS, raw);
      for (const sid of [1, 2]) {
        unit.command([6, sid, 0, 0]);
        sane(unit, sid, 0, 0x1000, mode);
        sane(unit, sid, hi, lo, mode);
      }
      unit.command([0x30, 0, 0, 0]);
      drain(unit);
    }),
    { numRuns },
  );
});

test('any words as descriptors, at every level of either stage', () => {
  const unit = board();
  unit.ste(1, S1_STE);
  unit.ste(2, S2_STE);
  unit.ste(3, NESTED_STE);
  const tables = [S1_ROOT, S2_ROOT, 0x1000_0000n, 0x1020_0000n, 0x1040_0000n, 0x1060_0000n];
  const descriptor = fc.oneof(
    fc.tuple(word, word),
    // Pointers among the tables themselves, loops included.
    fc
      .tuple(fc.constantFrom(...tables), fc.constantFrom(1n, 3n, 0x703n, 0x7c3n))
      .map(([t, low]) => [Number(t | low), 0]),
  );
  const place = fc.tuple(fc.constantFrom(...tables), fc.nat(3), descriptor);
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 5 }), fc.nat(3), fc.nat(7), (places, page, mode) => {
      for (const [table, index, [lo, hi]] of places) unit.put(table + BigInt(index) * 8n, [lo!, hi!]);
      for (const sid of [1, 2, 3]) sane(unit, sid, 0, page << 12, mode);
      unit.command([0x30, 0, 0, 0]);
      drain(unit);
    }),
    { numRuns },
  );
});

test('what a dump lists is what a DMA gets, whatever the tables say', () => {
  const unit = board();
  unit.ste(1, S1_STE);
  unit.ste(2, S2_STE);
  unit.ste(3, NESTED_STE);
  const dump = new SmmuDump(unit.memory, unit.hardware);
  const tables = [S1_ROOT, S2_ROOT, 0x1000_0000n, 0x1020_0000n];
  const low = fc.constantFrom(1n, 3n, 0x743n, 0x7ffn, 0x7bfn, 0x703n, 0x401n);
  const descriptor = fc.tuple(fc.constantFrom(0n, ...tables, 0x8000_0000n, 0xf_0000_0000_0000n), low);
  const place = fc.tuple(fc.constantFrom(...tables), fc.constantFrom(0, 1, 8, 128, 511), descriptor);
  let compared = 0;
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 4 }), fc.nat(2), (places, which) => {
      for (const [table, index, [address, bits]] of places) unit.put64(table + BigInt(index) * 8n, address | bits);
      unit.hardware.dropCaches();
      let left = 20;
      for (const { iova, pa, permissions, pageSize } of dump.mappings(which + 1, null)) {
        if (permissions !== 0) {
          const found = unit.dma(which + 1, iova + 16n, { access: permissions & 1 ? 'read' : 'write' });
          expect(found).toEqual({
            outcome: 'translated',
            pa: pa + 16n,
            rights: permissions,
            lg2: Math.log2(Number(pageSize)),
          });
          compared++;
        }
        if (--left === 0) break;
      }
    }),
    { numRuns: Math.ceil(numRuns / 10) },
  );
  expect(compared).toBeGreaterThan(numRuns / 100);
});

test('any words as commands', () => {
  const unit = board();
  unit.ste(1, NESTED_STE);
  const opcodes = [1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x46];
  const likely = fc
    .tuple(fc.constantFrom(...opcodes), words(4))
    .map(([op, w]) => [(w[0]! & ~0x4ff) | op, w[1]!, w[2]!, w[3]!]);
  fc.assert(
    fc.property(fc.array(fc.oneof(words(4), likely), { minLength: 1, maxLength: 4 }), (commands) => {
      // Messages could land in the tables: keep them out of memory that matters.
      for (const c of commands) unit.raw((c[0]! & 0x30ff) === 0x1046 ? [0x46, 0, 0, 0] : c);
      for (let i = 0; i < 8 && unit.get('GERROR') !== unit.get('GERRORN'); i++) {
        unit.put(CMDQ + (unit.get('CMDQ_CONS') & 0xfn) * 16n, [0x46, 0, 0, 0]);
        unit.set('GERRORN', unit.get('GERROR'));
      }
      expect(unit.get('CMDQ_CONS') & 0xf_ffffn).toBe(unit.get('CMDQ_PROD'));
      sane(unit, 1, 0, 0x1000, 0);
    }),
    { numRuns },
  );
});

test('any ring indices and any register writes', () => {
  const offsets = Object.values(REGISTERS).map(({ at }) => at);
  const write = fc.tuple(fc.oneof(fc.constantFrom(...offsets), fc.nat(0x1_ffff)), word);
  let unit = board({ sidBits: 16 });
  let left = 200;
  fc.assert(
    fc.property(
      fc.array(write, { maxLength: 12 }),
      word,
      word,
      fc.nat(0xffff),
      fc.nat(255),
      (writes, hi, lo, sid, mode) => {
        // A frame of rubbish soon stands still: a fresh one now and then.
        if (left-- === 0) {
          unit = board({ sidBits: 16 });
          left = 200;
        }
        for (const [offset, value] of writes) unit.hardware.mmio.write32(offset, value);
        for (const [offset] of writes) {
          const read = unit.hardware.mmio.read32(offset);
          if (!(Number.isInteger(read) && read >= 0 && read <= 0xffff_ffff)) throw new Error(`register reads ${read}`);
        }
        sane(unit, sid, hi, lo, mode);
        sane(unit, 1, 0, 0x1000, mode);
      },
    ),
    { numRuns },
  );
});

test('any frame wakes the model, whatever its length', () => {
  const unit = board();
  const frame = new Uint8Array(0x20000);
  fc.assert(
    fc.property(words(64), words(4), fc.nat(0x20000), word, fc.nat(255), (page0, page1, length, lo, mode) => {
      new Uint32Array(frame.buffer).set(page0);
      new Uint32Array(frame.buffer, 0x100a8, 4).set(page1);
      unit.hardware.reset();
      unit.hardware.wake(frame.subarray(0, length & ~3));
      sane(unit, lo & 0xffff, 0, lo, mode);
    }),
    { numRuns: Math.min(numRuns, 20000) },
  );
});

test('any bytes decode, as every kind', () => {
  for (const kind of decoder.kinds) {
    const [size] = decoder.sizes(kind);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: size!, maxLength: size! }), (bytes) => {
        const { name, raw, problems } = decoder.decode(kind, bytes);
        expect(raw.length).toBe(size! * 2);
        expect(name === 'UNKNOWN').toBe(problems.length > 0);
      }),
      { numRuns },
    );
  }
});
