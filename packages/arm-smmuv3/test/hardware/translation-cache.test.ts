import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Tags, WORLD } from '../../src/hardware/tags.ts';
import { TranslationCache } from '../../src/hardware/translation-cache.ts';
import { ENTRY, leafShape, shapeGranule, shapeLeaf, shapeLevel } from '../../src/hardware/translation-entry.ts';

const RUNS = Math.min(3000, Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20000));
const SIZES = [12, 16, 21, 30, 39] as const;
const TAGS = 5;

type Step =
  | { do: 'insert'; tag: number; page: number; count: number; size: number }
  | { do: 'remove'; tag: number; page: number; size: number }
  | { do: 'tag'; tag: number }
  | { do: 'clear' };

const tag = fc.nat(TAGS - 1);
const size = fc.nat(SIZES.length - 1);
/** Neighbours, strides that share all low bits, and anything. */
const page = fc.oneof(
  fc.nat(200),
  fc.nat(200).map((at) => at << 9),
  fc.nat(0xf_ffff),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('insert' as const),
      tag,
      page,
      count: fc.integer({ min: 1, max: 90 }),
      size,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('remove' as const), tag, page, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tag' as const), tag }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
);

/** Bits 31:12 and 63:32 of the n-th page of a size, low bits clear. */
function placed(at: number, lg2: number): { hi: number; lo: number } {
  const address = BigInt(at) << BigInt(lg2);
  return { hi: Number(BigInt.asIntN(32, address >> 32n)), lo: Number(BigInt.asIntN(32, address)) };
}

/** The cache beside a map that forgets nothing by itself. */
class Twin {
  readonly tags = new Tags(1 << 16);
  readonly numbers = Array.from({ length: TAGS }, (_, asid) => this.tags.hold(WORLD.EL1, 1, asid, 0));
  readonly cache: TranslationCache;
  readonly known = new Map<string, number>();
  serial = 0;

  constructor(limit: number) {
    this.cache = new TranslationCache(this.tags, limit);
  }

  find(tag: number, at: number, lg2: number): number {
    const { hi, lo } = placed(at, lg2);
    return this.cache.findSized(this.numbers[tag]!, hi, lo, lg2);
  }

  take(step: Step): void {
    if (step.do === 'insert')
      for (let i = 0; i < step.count; i++) this.insert(step.tag, step.page + i, SIZES[step.size]!);
    else if (step.do === 'remove') this.remove(step.tag, step.page, SIZES[step.size]!);
    else this.drop(step.do === 'tag' ? step.tag : -1);
  }

  insert(tag: number, at: number, lg2: number): void {
    if (this.find(tag, at, lg2) >= 0) return;
    const { hi, lo } = placed(at, lg2);
    this.serial = (this.serial + 1) & 0xffff;
    this.cache.insert(
      this.numbers[tag]!,
      hi,
      lo | 0x123,
      lg2,
      0xabcde,
      this.serial << 12,
      0x5a5,
      leafShape(2, 14, lg2 + 9),
    );
    this.known.set(`${tag} ${at} ${lg2}`, this.serial);
  }

  remove(tag: number, at: number, lg2: number): void {
    const entry = this.find(tag, at, lg2);
    if (entry >= 0) this.cache.remove(entry);
    this.known.delete(`${tag} ${at} ${lg2}`);
  }

  drop(tag: number): void {
    if (tag < 0) this.cache.clear();
    else this.cache.dropTag(this.numbers[tag]!);
    for (const key of this.known.keys()) if (tag < 0 || key.startsWith(`${tag} `)) this.known.delete(key);
  }

  /** The known translations that the cache gives, each checked word by word. */
  given(): string[] {
    return [...this.known].flatMap(([key, serial]) => {
      const [tag, at, lg2] = key.split(' ').map(Number) as [number, number, number];
      const entry = this.find(tag, at, lg2);
      if (entry < 0) return [];
      const { words } = this.cache;
      const outLo = words[entry | ENTRY.OUT_LO]!;
      expect(words[entry | ENTRY.OUT_HI]! >>> 0).toBe(0x5a5abcde);
      expect([outLo >>> 12, shapeLevel(outLo), shapeGranule(outLo), shapeLeaf(outLo)]).toEqual([
        serial,
        2,
        14,
        lg2 + 9,
      ]);
      return [key];
    });
  }

  /** The lists by tag hold as many entries as the cache, each under its own tag. */
  listed(): number {
    let total = 0;
    for (const tag of this.numbers) {
      let left = this.cache.countOf(tag);
      total += left;
      for (let at = this.cache.firstOf(tag); left > 0; left--, at = this.cache.following(at))
        expect(this.cache.words[at | ENTRY.TAG]).toBe(tag);
    }
    return total;
  }
}

describe('the translation cache beside a map', () => {
  test.each([1 << 12, 1 << 20])('with room for %i it gives all that came in and was not dropped', (limit) => {
    const many = fc.array(step, { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(many, (steps) => {
        const twin = new Twin(limit);
        for (const one of steps) twin.take(one);
        expect(twin.cache.size).toBe(twin.known.size);
        expect(twin.given().length).toBe(twin.known.size);
        expect(twin.listed()).toBe(twin.known.size);
        twin.cache.clear();
        for (const number of twin.numbers) twin.tags.release(number);
        expect([twin.cache.size, twin.tags.live]).toEqual([0, 0]);
      }),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });

  test('full, it replaces: never more than its limit, never what did not come in', () => {
    const many = fc.array(step, { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(many, (steps) => {
        const twin = new Twin(128);
        for (const one of steps) twin.take(one);
        expect(twin.cache.size).toBeLessThanOrEqual(128);
        expect(twin.given().length).toBe(twin.cache.size);
        expect(twin.listed()).toBe(twin.cache.size);
      }),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  });

  test('the newest entry is there, also when another had to go for it', () => {
    const twin = new Twin(128);
    for (let at = 0; at < 1000; at++) {
      twin.insert(at % TAGS, at << 9, 12);
      expect(twin.find(at % TAGS, at << 9, 12)).toBeGreaterThanOrEqual(0);
    }
    expect(twin.cache.size).toBe(128);
  });
});
