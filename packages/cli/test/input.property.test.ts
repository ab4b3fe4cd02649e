import { DmaRequest } from '@iommukit/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hexOfHalves } from '../src/dump/answer.ts';
import { joinRuns } from '../src/dump/runs.ts';
import { formatPci, parseDevice } from '../src/input/device.ts';
import { parseHex } from '../src/input/hex.ts';
import { parseQuery, QueryList } from '../src/input/query.ts';

const numRuns = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);
const check = <T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => void) =>
  fc.assert(fc.property(arbitrary, holds), { numRuns });

const query = fc.record({
  device: fc.integer({ min: 0, max: 0xffff_ffff }),
  pasid: fc.option(fc.integer({ min: 0, max: 0xf_ffff })),
  iova: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((value) => `0x${value.toString(16)}`),
  access: fc.constantFrom('read', 'write', 'execute'),
  privileged: fc.boolean(),
});

test('a query comes out of the list as it went in, wherever it stands', () => {
  check(fc.array(query, { minLength: 1, maxLength: 5 }), (records) => {
    const list = new QueryList();
    for (let filler = 0; filler < 62; filler++) list.push(parseQuery({ device: 0, iova: '0x0' }, true));
    for (const record of records) list.push(parseQuery(record, true));
    const request = new DmaRequest();
    records.forEach((record, at) => {
      list.fill(62 + at, request);
      expect({
        device: request.device,
        pasid: request.pasid < 0 ? null : request.pasid,
        iova: hexOfHalves(request.iovaHi, request.iovaLo),
        access: ['read', 'write', 'execute'][request.access],
        privileged: request.privileged,
      }).toEqual(record);
    });
  });
});

test('any JSON as a query is a query or one line of complaint', () => {
  const anything = fc.dictionary(fc.constantFrom('device', 'pasid', 'iova', 'access', 'privileged'), fc.jsonValue());
  check(anything, (record) => {
    try {
      parseQuery(record as Record<string, unknown>, false);
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).not.toContain('\n');
    }
  });
});

test('any text as bytes is bytes or a SyntaxError', () => {
  check(fc.oneof(fc.string(), fc.stringMatching(/^(0x)?[0-9a-fA-F \n]*$/)), (text) => {
    try {
      const digits = text.replace(/^0x/i, '').replaceAll(/\s/g, '').toLowerCase();
      expect(Buffer.from(parseHex(text)).toString('hex')).toBe(digits);
    } catch (error) {
      expect(error).toBeInstanceOf(SyntaxError);
    }
  });
});

test('a PCI address is its requester id, with or without a segment', () => {
  check(fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0xffff })), ([id, segment]) => {
    expect(parseDevice(formatPci(id), true)).toBe(id);
    expect(parseDevice(`${segment.toString(16).padStart(4, '0')}:${formatPci(id)}`, true)).toBe(id);
    expect(() => parseDevice(formatPci(id), false)).toThrow(RangeError);
  });
});

test('joined runs cover the leaves exactly, and no two of them could be joined further', () => {
  const leaf = fc.record({ gap: fc.nat(1), jump: fc.nat(1), permissions: fc.integer({ min: 1, max: 2 }) });
  check(fc.array(leaf, { maxLength: 12 }), (steps) => {
    let [iova, pa] = [0n, 0x1000n];
    const leaves = steps.map(({ gap, jump, permissions }) => {
      iova += 4096n * BigInt(1 + gap);
      pa += 4096n * BigInt(1 + jump);
      return { iova, pa, size: 4096n, pageSize: 4096n, permissions };
    });
    const runs = [...joinRuns(leaves)];
    const split = runs.flatMap((run) =>
      Array.from({ length: Number(run.size / 4096n) }, (_, at) => {
        const by = BigInt(at) * 4096n;
        return { ...run, iova: run.iova + by, pa: run.pa + by, size: 4096n };
      }),
    );
    expect(split).toEqual(leaves);
    for (const [at, run] of runs.slice(1).entries()) {
      const before = runs[at]!;
      const whole = run.iova - before.iova === before.size && run.pa - before.pa === before.size;
      expect(whole && run.permissions === before.permissions).toBe(false);
    }
  });
});
