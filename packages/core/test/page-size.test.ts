import fc from 'fast-check';
import { expect, test } from 'vitest';
import { highestBit, lowestBit, nextStep } from '../src/index.ts';

const K4 = 1n << 12n;
const M2 = 1n << 21n;
const G1 = 1n << 30n;
const SIZES = K4 | M2 | G1;

test.each([
  // iova, pa, size → page size, count
  [0n, 0n, K4, K4, 1],
  [0n, 0n, M2, M2, 1],
  [0n, 0n, G1 + M2, G1, 1],
  [M2 - K4, M2 - K4, M2 + K4, K4, 1], // one small page, then a large one is possible
  [M2 - K4, M2 - K4, M2, K4, 512], // too short for a large page afterwards
  [K4, 2n * K4, 8n * M2, K4, 4096], // never congruent: all small
  [M2, G1 + M2, 2n * G1, M2, 511], // up to the next 1 GiB boundary
])('0x%x → 0x%x + 0x%x', (iova, pa, size, pageSize, count) => {
  expect(nextStep(SIZES, iova, pa, size)).toEqual({ pageSize, count });
});

test('steps tile the request, aligned, and never use a page where a larger one fits', () => {
  const page = fc.bigInt({ min: 0n, max: (1n << 22n) - 1n }).map((n) => n << 12n);
  fc.assert(
    fc.property(page, page, fc.bigInt({ min: 1n, max: 1n << 20n }), (iova, pa, pages) => {
      const size = pages << 12n;
      for (let done = 0n; done < size; ) {
        const step = nextStep(SIZES, iova + done, pa + done, size - done);
        expect((iova + done) % step.pageSize).toBe(0n);
        expect((pa + done) % step.pageSize).toBe(0n);
        expect(step.count).toBeGreaterThan(0);
        expect(step.pageSize & SIZES).toBe(step.pageSize);
        const larger = [M2, G1].filter((s) => s > step.pageSize);
        for (const big of larger) {
          for (const page of [0, step.count - 1]) {
            const at = done + BigInt(page) * step.pageSize;
            const fits = (iova + at) % big === 0n && (pa + at) % big === 0n && size - at >= big;
            expect(fits).toBe(false);
          }
        }
        done += step.pageSize * BigInt(step.count);
        expect(done <= size).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

test('bit helpers', () => {
  expect([lowestBit(0n), lowestBit(12n), highestBit(0n), highestBit(12n), highestBit(1n << 63n)]).toEqual([
    0n,
    4n,
    0n,
    8n,
    1n << 63n,
  ]);
});
