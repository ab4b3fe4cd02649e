import { DmaRequest } from '@iommukit/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { INFO, IOTLB_SLOT, Iotlb } from '../../src/hardware/caches/iotlb.ts';

const RUNS = Math.ceil(Math.min(3000, Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000)) / 10);
const SIZES = [12, 21, 30] as const;
const DOMAINS = 3;

type Step =
  | { do: 'add'; did: number; page: number; count: number; size: number; first: boolean }
  | { do: 'remove'; did: number; page: number; size: number }
  | { do: 'pages'; did: number; page: number; range: number; first: boolean }
  | { do: 'domain'; did: number }
  | { do: 'clear' };

const did = fc.nat(DOMAINS - 1);
const size = fc.nat(SIZES.length - 1);
const page = fc.oneof(fc.nat(300), fc.nat(0xf_ffff));
const first = fc.boolean();
const count = fc.integer({ min: 1, max: 90 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('add' as const), did, page, count, size, first }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), did, page, size }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('pages' as const),
      did,
      page,
      range: fc.integer({ min: 12, max: 24 }),
      first,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('domain' as const), did }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
);

interface Known {
  readonly did: number;
  readonly start: bigint;
  readonly lg2: number;
  readonly first: boolean;
}

const hiOf = (address: bigint): number => Number(BigInt.asIntN(32, address >> 32n));
const loOf = (address: bigint): number => Number(BigInt.asIntN(32, address));

/** The IOTLB beside a list. Every domain has a device of its own; first-stage entries have PASID 7. */
class Twin {
  readonly iotlb = new Iotlb();
  readonly request = new DmaRequest();
  known: Known[] = [];

  find({ did, start }: Pick<Known, 'did' | 'start'>): number {
    return this.iotlb.lookup(did, -1, 0, hiOf(start), loOf(start));
  }

  take(step: Step): void {
    if (step.do === 'add') for (let i = 0; i < step.count; i++) this.add(step, step.page + i);
    else if (step.do === 'remove') this.remove(step);
    else if (step.do === 'pages') this.pages(step);
    else if (step.do === 'domain') {
      this.iotlb.dropDomain(step.did);
      this.known = this.known.filter((one) => one.did !== step.did);
    } else {
      this.iotlb.clear();
      this.known = [];
    }
  }

  add({ did, size, first }: Extract<Step, { do: 'add' }>, page: number): void {
    const lg2 = SIZES[size]!;
    const start = BigInt(page) << BigInt(lg2);
    if (this.find({ did, start }) >= 0) return;
    this.request.device = did;
    this.request.iovaHi = hiOf(start);
    this.request.iovaLo = loOf(start) | 0x123;
    const info = 3 | (lg2 << INFO.SIZE_SHIFT) | (first ? INFO.FIRST_STAGE : 0);
    this.iotlb.add(this.request, 0xabc, page << 12, info, did, first ? 7 : -1);
    this.known.push({ did, start, lg2, first });
  }

  remove({ did, page, size }: Extract<Step, { do: 'remove' }>): void {
    const lg2 = SIZES[size]!;
    const start = BigInt(page) << BigInt(lg2);
    const at = this.known.findIndex((one) => one.did === did && one.start === start && one.lg2 === lg2);
    if (at < 0) return;
    this.iotlb.remove(this.find({ did, start }));
    this.known.splice(at, 1);
  }

  pages({ did, page, range, first }: Extract<Step, { do: 'pages' }>): void {
    const start = (BigInt(page) << 12n) & -(1n << BigInt(range));
    const last = start + (1n << BigInt(range)) - 1n;
    this.iotlb.dropPages(did, first ? 7 : -1, range, hiOf(start), loOf(start));
    const hit = (one: Known) =>
      one.did === did && (one.first || !first) && one.start <= last && one.start + (1n << BigInt(one.lg2)) > start;
    this.known = this.known.filter((one) => !hit(one));
  }
}

test('beside a list: what came in and was not dropped is there, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      const twin = new Twin();
      for (const one of steps) twin.take(one);
      expect(twin.iotlb.table.live).toBe(twin.known.length);
      for (const one of twin.known) {
        const at = twin.find(one);
        expect(at).toBeGreaterThanOrEqual(0);
        expect(twin.iotlb.data[at + IOTLB_SLOT.DID]).toBe(one.did);
      }
    }),
    { numRuns: RUNS },
  );
});
