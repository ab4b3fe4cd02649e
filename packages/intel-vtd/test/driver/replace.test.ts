import { ALLOC, type DeviceHandle, type DomainOps, type PagingDomainOps } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { device, FULL, LEGACY, type Rig, upRig } from './scripted-unit.ts';

const CM = 1n << 7n;

/** First four quadwords of the entry that decides about device 10h. */
function entry(rig: Rig): bigint[] {
  const follow = (pa: bigint) => rig.quad(pa) & ~0xfffn;
  const context = follow(rig.unit.get64(0x20) & ~0xfffn);
  if ((rig.unit.get64(0x20) & 0xc00n) === 0n) return [0n, 8n].map((at) => rig.quad(context + 0x100n + at));
  const pasids = follow(follow(context + 0x10n * 32n));
  return [0n, 8n, 16n, 24n].map((at) => rig.quad(pasids + at));
}

function nestedData(table: bigint): { type: number; bytes: Uint8Array } {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, table, true);
  view.setUint32(16, 48, true);
  return { type: 1, bytes };
}

function domains(registers: typeof FULL) {
  const rig = upRig(registers);
  const { driver } = rig;
  const handle = driver.probeDevice(device([0x10]));
  const scalable = driver.capabilities.has('nest-parent');
  const paging = (flags: number) => driver.allocPaging(handle, scalable ? flags : 0, null);
  const [parent, sibling] = [paging(ALLOC.NEST_PARENT), paging(ALLOC.NEST_PARENT)];
  const nested = (table: bigint, over = parent) => driver.allocNested(handle, over, 0, nestedData(table));
  const all: Record<string, DomainOps> = {
    first: paging(0),
    'other first': paging(0),
    second: parent,
    'other second': sibling,
    identity: driver.identity,
    ...(scalable && {
      nested: nested(0x1000n),
      'nested, other table': nested(0x2000n),
      'nested, other parent': nested(0x1000n, sibling),
    }),
  };
  return { rig, handle, all };
}

/** What the entry was at every descriptor fetch of a replacement, without repetitions. */
function watch(registers: typeof FULL, from: string, to: string) {
  const { rig, handle, all } = domains(registers);
  const { driver } = rig;
  all[from]!.attach(handle, driver.blocked);
  const before = entry(rig);
  const seen: bigint[][] = [];
  rig.unit.refuse = () => {
    seen.push(entry(rig));
    return 0;
  };
  all[to]!.attach(handle, all[from]!);
  expect(seen.length).toBeGreaterThan(0);
  return { before, after: entry(rig), seen };
}

/** The domain-id a domain would get now: what earlier attaches took and did not give back is missing. */
function nextDid(rig: Rig, handle: DeviceHandle): number {
  const probe = rig.driver.allocPaging(handle, 0, null) as PagingDomainOps & {
    acquireDid(): number;
    releaseDid(): void;
  };
  const did = probe.acquireDid();
  probe.releaseDid();
  probe.free();
  return did;
}

/** PGTT 001 and 011 look at the third quadword. */
const usesFirstStage = (words: bigint[]): boolean => ((words[0]! >> 6n) & 1n) === 1n;
const half = (words: bigint[]): bigint[] => words.slice(0, 2);

describe('replacing in place', () => {
  it.each([
    ['first', 'second'],
    ['second', 'first'],
    ['second', 'other second'],
    ['second', 'identity'],
    ['identity', 'first'],
    ['first', 'identity'],
    ['second', 'nested'],
    ['nested', 'second'],
    ['nested', 'identity'],
    ['nested', 'nested, other parent'],
  ])('scalable mode, %s to %s: present, and never a mix', (from, to) => {
    const { before, after, seen } = watch(FULL, from, to);
    expect(after).not.toEqual(before);
    expect(half(seen.at(-1)!)).toEqual(half(after));
    // Whatever the order of its reads, the unit finds the third quadword that goes with an entry that uses it.
    const third = usesFirstStage(after) ? after[2] : before[2];
    for (const words of seen) {
      expect([half(before), half(after)]).toContainEqual(half(words));
      expect(words[2]).toBe(third);
    }
  });

  it('tells the unit before an entry begins to use fields it ignored', () => {
    const { rig, handle, all } = domains(FULL);
    all.second!.attach(handle, rig.driver.blocked);
    rig.descriptors();
    all.first!.attach(handle, all.second!);
    expect(rig.descriptors()).toEqual(['20017:0', '20017:0', '20022:0']);
    all.second!.attach(handle, all.first!);
    expect(rig.descriptors()).toEqual(['30017:0', '30026:0']);
  });

  it.each([
    ['second', 'other second'],
    ['second', 'identity'],
    ['identity', 'second'],
  ])('legacy mode, %s to %s', (from, to) => {
    const { before, after, seen } = watch(LEGACY, from, to);
    expect(after).not.toEqual(before);
    for (const words of seen) expect(words).toEqual(after);
  });

  it.each([
    ['first', 'other first'],
    ['first', 'nested'],
    ['nested', 'first'],
    ['nested', 'nested, other table'],
  ])('scalable mode, %s to %s: two first stages cannot be exchanged at once', (from, to) => {
    const { before, after, seen } = watch(FULL, from, to);
    expect(after).not.toEqual(before);
    for (const [qw0, ...rest] of seen) expect([qw0, ...rest]).toEqual([before[0]! & ~1n, ...before.slice(1)]);
  });
});

describe('a unit that refuses a descriptor in the middle', () => {
  const units = [
    ['legacy', LEGACY],
    ['legacy, caching mode', { ...LEGACY, cap: LEGACY.cap | CM }],
    ['scalable', FULL],
    ['scalable, caching mode', { ...FULL, cap: FULL.cap | CM }],
  ] as const;
  const moves = [
    ['second', 'other second'],
    ['second', 'identity'],
    ['first', 'other first'],
    ['first', 'second'],
    [null, 'second'],
    ['second', null],
  ] as const;

  const cases = units.flatMap(([name, registers]) => moves.map(([from, to]) => ({ name, registers, from, to })));
  it.each(cases)('$name, from $from to $to: the old domain stays in force', ({ registers, from, to }) => {
    let refused = 0;
    for (let nth = 1; nth < 10; nth++) refused += attempt(registers, from, to, nth);
    expect(refused).toBeGreaterThan(from === null && (registers.cap & CM) === 0n ? -1 : 0);
  });

  function attempt(registers: typeof FULL, from: string | null, to: string | null, nth: number): number {
    const { rig, handle, all } = domains(registers);
    const { driver } = rig;
    const pick = (name: string | null) => (name === null ? driver.blocked : all[name]!);
    pick(from).attach(handle, driver.blocked);
    if (from === null) {
      // makes the tables, so that there is an entry to compare
      all.second!.attach(handle, driver.blocked);
      driver.blocked.attach(handle, all.second!);
    }
    const before = entry(rig);
    let left = nth;
    rig.unit.refuse = ([lo]) => ((lo! & 0xfn) !== 5n && --left === 0 ? 4 : 0);
    try {
      pick(to).attach(handle, pick(from));
      return 0;
    } catch (error) {
      expect(error).toMatchObject({ errno: 'EINVAL' });
      expect(entry(rig)).toEqual(before);
      rig.unit.refuse = () => 0;
      rig.unit.fetched.length = 0;
      expect(nextDid(rig, handle)).toBe(from === null || from === 'identity' ? 2 : 3);
      pick(to).attach(handle, pick(from));
      if (to === null) expect(entry(rig)[0]).toBe(0n);
      return 1;
    }
  }
});
