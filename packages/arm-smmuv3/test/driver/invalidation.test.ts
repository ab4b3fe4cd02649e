import { emptyGather } from '@iommukit/page-table/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mapOne, rigOf, SYNC } from './rig.ts';
import { CAPTURE_A, CAPTURE_B, NESTING, type Script } from './scripted-smmu.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000);
const NO_RIL = { ...CAPTURE_A, idr3: 0x1004 } as const;

function attached(script: Script, flags = 0) {
  const made = rigOf(script);
  const handle = made.device([8]);
  const domain = made.driver.allocPaging(handle, flags, null);
  domain.attach(handle, made.driver.blocked);
  /** Commands of one unmap and its sync. */
  const unmap = (...ranges: readonly (readonly [bigint, bigint])[]): string[] =>
    made.commandsOf(() => {
      const gather = emptyGather();
      for (const [iova, size] of ranges) domain.unmapPages(iova, size, gather);
      domain.syncUnmap(gather);
    });
  return { ...made, handle, domain, unmap };
}

describe('without range invalidation', () => {
  test('the bytes a real kernel wrote for a page of ASID 1', () => {
    const { domain, unmap } = attached(NO_RIL);
    mapOne(domain, 0xffff_c000n, 0x4000_0000n, 3, 0x1000n, 2);
    expect(unmap([0xffff_c000n, 0x1000n])).toEqual(['120000000000010001c0ffff00000000', SYNC]);
  });

  test('the bytes a real kernel wrote for a page of VMID 1', () => {
    const { domain, unmap } = attached({ ...CAPTURE_B, idr3: 0x1014 });
    mapOne(domain, 0xffff_8000n, 0x4000_0000n, 3, 0x1000n, 2);
    expect(unmap([0xffff_8000n, 0x1000n])).toEqual(['2a00000001000000'.concat('0180ffff00000000'), SYNC]);
  });

  test('tables that went: Leaf = 0, and they are freed after the SYNC', () => {
    const { smmu, domain, unmap } = attached(NO_RIL);
    const live = smmu.memory.live;
    mapOne(domain, 0x1_0000_0000n, 0n);
    expect(smmu.memory.live).toBe(live + 3);
    let atSync = 0;
    smmu.onSync = () => (atSync = smmu.memory.live);
    expect(unmap([0x1_0000_0000n, 0x1000n])).toEqual(['12000000000001000000000001000000', SYNC]);
    expect([atSync, smmu.memory.live]).toEqual([live + 3, live]);
  });

  test('one command for the lot from a table’s worth of pages on', () => {
    const { domain, unmap } = attached(NO_RIL);
    mapOne(domain, 0n, 0n, 3, 0x1000n, 1200);
    expect(unmap([0n, 511n << 12n])).toHaveLength(512);
    expect(unmap([511n << 12n, 512n << 12n])).toEqual(['11000000000001000000000000000000', SYNC]);
  });

  test('a block takes one command', () => {
    const { domain, unmap } = attached(NO_RIL);
    mapOne(domain, 0x40_0000n, 0n, 3, 0x20_0000n, 2);
    expect(unmap([0x40_0000n, 0x20_0000n])).toEqual(['12000000000001000100400000000000', SYNC]);
  });

  test('more than a batch is published in between and synced once', () => {
    const { domain, unmap } = attached(NO_RIL);
    mapOne(domain, 0n, 0n, 3, 0x1000n, 400);
    const issued = unmap([0n, 300n << 12n]);
    expect(issued).toHaveLength(301);
    expect(issued.filter((raw) => raw === SYNC)).toHaveLength(1);
  });
});

describe('with range invalidation (the captures have IDR3.RIL)', () => {
  test('the bytes a real kernel wrote for a page: TG 4K, TTL 3', () => {
    const { domain, unmap } = attached(CAPTURE_A);
    mapOne(domain, 0xffff_c000n, 0x4000_0000n, 3, 0x1000n, 2);
    expect(unmap([0xffff_c000n, 0x1000n])).toEqual(['120000000000010001c7ffff00000000', SYNC]);
  });

  test('the bytes a real kernel wrote for a stage-2 page', () => {
    const { domain, unmap } = attached(CAPTURE_B);
    mapOne(domain, 0xffff_8000n, 0x4000_0000n, 3, 0x1000n, 2);
    expect(unmap([0xffff_8000n, 0x1000n])).toEqual(['2a000000010000000187ffff00000000', SYNC]);
  });

  test('a lone page with its tables: no level hint, and NUM = 1 because NUM = SCALE = TTL = 0 is illegal', () => {
    const { domain, unmap } = attached(CAPTURE_A);
    mapOne(domain, 0x1_0000_0000n, 0n);
    // Two pages: NUM 0 (one), SCALE 1.
    expect(unmap([0x1_0000_0000n, 0x1000n])).toEqual(['12001000000001000004000001000000', SYNC]);
  });

  test('a length in pieces of five bits, smallest first', () => {
    const { domain, unmap } = attached(CAPTURE_A);
    mapOne(domain, 0n, 0n, 3, 0x1000n, 0x500);
    // Leaves of whole tables went with theirs: no TTL. 0x421 pages have low bits 1, so one more: 0x422.
    // 0x422 = 0x11 << 1 (NUM 16, SCALE 1) + 1 << 10 (NUM 0, SCALE 10).
    expect(unmap([0n, 0x421n << 12n])).toEqual([
      '12001100000001000004000000000000',
      '1200a000000001000024020000000000',
      SYNC,
    ]);
  });

  test('blocks name their level, a mixture names none', () => {
    const { domain, unmap } = attached(CAPTURE_A);
    mapOne(domain, 0x40_0000n, 0n, 3, 0x20_0000n, 4);
    // 512 granules: NUM 0 at SCALE 9; TTL 2.
    expect(unmap([0x40_0000n, 0x20_0000n])).toEqual(['12009000000001000106400000000000', SYNC]);
    mapOne(domain, 0x3f_e000n, 0n, 3, 0x1000n, 1);
    mapOne(domain, 0x3f_f000n, 0n, 3, 0x1000n, 1);
    mapOne(domain, 0x40_0000n, 0n, 3, 0x20_0000n, 1);
    mapOne(domain, 0x30_0000n, 0n, 3, 0x1000n, 1);
    // 514 granules from 0x3fe000: 1 << 1, then 1 << 9; no TTL although only leaves went.
    expect(unmap([0x3f_e000n, 0x20_2000n])).toEqual([
      '1200100000000100'.concat('01e43f0000000000'),
      '1200900000000100'.concat('0104400000000000'),
      SYNC,
    ]);
  });
});

describe('nesting parents', () => {
  test('stage 2 first, then everything that guests built on it', () => {
    const { domain, unmap } = attached(NESTING, 1);
    mapOne(domain, 0x8000n, 0n, 3, 0x1000n, 2);
    expect(unmap([0x8000n, 0x1000n])).toEqual([
      '2a000000010000000180000000000000',
      SYNC,
      '10000000010000000000000000000000',
      SYNC,
    ]);
  });

  test('a long unmap takes both at once', () => {
    const { domain, unmap } = attached(NESTING, 1);
    mapOne(domain, 0n, 0n, 3, 0x1000n, 600);
    expect(unmap([0n, 600n << 12n])).toEqual(['28000000010000000000000000000000', SYNC]);
  });
});

test('a domain without devices needs no commands, only its tables back', () => {
  const { smmu, driver, device, commandsOf } = rigOf(CAPTURE_A);
  const domain = driver.allocPaging(device([8]), 0, null);
  const live = smmu.memory.live;
  mapOne(domain, 0n, 0n);
  const issued = commandsOf(() => {
    const gather = emptyGather();
    domain.unmapPages(0n, 0x1000n, gather);
    domain.syncUnmap(gather);
    domain.flushAll();
  });
  expect(issued).toEqual([]);
  expect(smmu.memory.live).toBe(live);
});

/** IHI 0070 4.4.1: what one range command covers. */
function coverage(raw: string): { start: bigint; bytes: bigint; ttl: number; tg: number; num: number; scale: number } {
  const word = (i: number): bigint =>
    BigInt(
      `0x${raw
        .slice(i * 16, i * 16 + 16)
        .match(/../g)!
        .reverse()
        .join('')}`,
    );
  const [low, high] = [word(0), word(1)];
  const [num, scale] = [Number((low >> 12n) & 31n), Number((low >> 20n) & 31n)];
  const tg = Number((high >> 10n) & 3n);
  const granule = 1n << BigInt(10 + 2 * tg);
  return {
    start: high & ~0xfffn,
    bytes: BigInt(num + 1) * (1n << BigInt(scale)) * granule,
    ttl: Number((high >> 8n) & 3n),
    tg,
    num,
    scale,
  };
}

test.each([
  ['4K', CAPTURE_A, 12n],
  ['16K', { ...CAPTURE_A, idr5: 0x24 }, 14n],
  ['64K', { ...CAPTURE_A, idr5: 0x44 }, 16n],
] as const)('%s: range commands cover what was unmapped, and none is illegal', (_name, script, lg2) => {
  const { domain, unmap } = attached(script);
  const run = fc.tuple(fc.integer({ min: 0, max: 600 }), fc.integer({ min: 1, max: 600 }), fc.boolean());
  fc.assert(
    fc.property(run, ([page, count, rest]) => {
      const start = BigInt(page) << lg2;
      if (rest) mapOne(domain, 5000n << lg2, 0n, 3, 1n << lg2, 1);
      mapOne(domain, start, 0n, 3, 1n << lg2, count);
      const issued = unmap([start, BigInt(count) << lg2]);
      expect(issued.pop()).toBe(SYNC);
      let at = start;
      for (const raw of issued) {
        const range = coverage(raw);
        expect(range.start).toBe(at);
        expect(1n << BigInt(10 + 2 * range.tg)).toBe(1n << lg2);
        expect(range.num + range.scale + range.ttl).toBeGreaterThan(0);
        at += range.bytes;
      }
      const end = start + (BigInt(count) << lg2);
      expect(at === end || at === end + (1n << lg2)).toBe(true);
      if (rest) unmap([5000n << lg2, 1n << lg2]);
    }),
    { numRuns: Math.ceil(RUNS / 20) },
  );
});
