import { DmaAnswer, DmaRequest, OUTCOME } from '@iommukit/core';
import { Machine } from '@iommukit/machine';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toyVendor } from '../../src/toy/index.ts';

const numRuns = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);

const REGISTER = { CTRL: 0x08, TABLE: 0x10, CMD_BASE: 0x18, CMD_TAIL: 0x20, CMD_HEAD: 0x24, STATUS: 0x0c } as const;
const TABLE = 0x10_0000n;
const RING = 0x10_1000n;
const SLOTS = 0x10_2000n;
const CONTEXTS = 0x10_3000n;
const ROOT = 0x10_4000n;

/** A unit that runs with tables the test writes, and no driver. */
function bare() {
  const machine = new Machine();
  const unit = machine.addUnit(toyVendor);
  const { mmio } = unit.ports;
  mmio.write64(REGISTER.TABLE, TABLE | 4n);
  mmio.write64(REGISTER.CMD_BASE, RING);
  mmio.write32(REGISTER.CTRL, 1);
  const put = (pa: bigint, words: readonly bigint[]) => {
    const bytes = new Uint8Array(words.length * 8);
    words.forEach((word, i) => {
      new DataView(bytes.buffer).setBigUint64(i * 8, word, true);
    });
    machine.memory.writeBytes(pa, bytes);
  };
  return { machine, unit, mmio, put };
}

const word = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  // Words with plausible pointers, so that walks get somewhere.
  fc
    .tuple(fc.constantFrom(TABLE, RING, SLOTS, CONTEXTS, ROOT), fc.bigInt({ min: 0n, max: 0xfffn }))
    .map(([a, b]) => a | b),
);

test('whatever tables hold, every request is answered and recorded as the manual says', () => {
  const { unit, put } = bare();
  const request = new DmaRequest();
  const answer = new DmaAnswer();
  const words = fc.array(word, { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(
      words,
      words,
      words,
      words,
      fc.oneof(fc.constant(0), fc.nat(31)),
      fc.integer(),
      fc.oneof(fc.constant(0), fc.nat(255)),
      fc.constantFrom(0, 1, 2),
      (a, b, c, d, device, lo, hi, access) => {
        put(TABLE, a);
        put(SLOTS, b);
        put(CONTEXTS, c);
        put(ROOT, d);
        unit.hardware.dropCaches();
        request.device = device;
        request.pasid = (device & 1) === 1 ? hi : -1;
        request.iovaHi = hi;
        request.iovaLo = lo;
        request.access = access as 0 | 1 | 2;
        unit.hardware.translate(request, answer);
        if (answer.outcome !== OUTCOME.FAULT) return answer.paHi >>> 0 < 2 ** 12;
        return answer.code >= 1 && answer.code <= 10;
      },
    ),
    { numRuns },
  );
});

test('whatever the command ring holds, the unit carries it out or stops with CMD_ERROR', () => {
  const { mmio, put } = bare();
  fc.assert(
    fc.property(word, word, (first, second) => {
      const head = mmio.read32(REGISTER.CMD_HEAD);
      put(RING + BigInt(head * 16), [first, second]);
      mmio.write32(REGISTER.CMD_TAIL, (head + 1) % 256);
      const error = (mmio.read32(REGISTER.STATUS) & 2) !== 0;
      const moved = mmio.read32(REGISTER.CMD_HEAD) !== head;
      mmio.write32(REGISTER.CMD_TAIL, mmio.read32(REGISTER.CMD_HEAD));
      mmio.write32(REGISTER.STATUS, 2);
      return error !== moved;
    }),
    { numRuns },
  );
});

test('a reset unit refuses everything in silence until it is started', () => {
  const { machine, unit } = bare();
  machine.reset();
  const answer = new DmaAnswer();
  unit.hardware.translate(new DmaRequest(), answer);
  expect([answer.outcome, answer.code, answer.recordWords]).toEqual([OUTCOME.FAULT, -1, 0]);
});

test('a unit woken from a register frame translates without a driver and writes nothing', () => {
  const { machine, unit, mmio, put } = bare();
  put(TABLE, [SLOTS | 1n]);
  put(SLOTS, [CONTEXTS | 1n]);
  put(CONTEXTS, [1n | (1n << 1n) | (1n << 16n), ROOT]);
  put(ROOT, [ROOT | 1n]);
  const frame = new Uint8Array(0x40);
  for (let i = 0; i < frame.length; i += 4) new DataView(frame.buffer).setUint32(i, mmio.read32(i), true);
  const other = machine.addUnit(toyVendor);
  other.hardware.wake(frame);
  const request = new DmaRequest();
  const [ours, theirs] = [new DmaAnswer(), new DmaAnswer()];
  unit.hardware.translate(request, ours);
  other.hardware.translate(request, theirs);
  expect([theirs.outcome, theirs.reason, theirs.code]).toEqual([ours.outcome, ours.reason, ours.code]);
  expect(theirs.code).toBe(9);
});
