import { describe, expect, test } from 'vitest';
import { errnoOf, rigOf, SYNC } from './rig.ts';
import { CAPTURE_A, CAPTURE_B, NESTING } from './scripted-smmu.ts';

const ZERO = '0';
const cfgiSte = (sid: string, leaf = '01'): string => `03000000${sid}${leaf}00000000000000`;

describe('the words a real kernel wrote for the same identification registers', () => {
  test('stage 1: STE and CD of the first capture', () => {
    const { smmu, driver, device } = rigOf(CAPTURE_A);
    const handle = device([0x8, 0x100]);
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    const ste = smmu.words(smmu.steAddress(8));
    const pointer = BigInt(`0x${ste[0]}`) & 0xff_ffff_ffff_ffc0n;
    expect((BigInt(`0x${ste[0]}`) ^ pointer).toString(16)).toBe('b');
    expect(ste.slice(1)).toEqual(['d6', ZERO, ZERO, ZERO, ZERO, ZERO, ZERO]);
    expect(smmu.words(smmu.steAddress(0x100))).toEqual(ste);
    const cd = smmu.words(Number(pointer));
    expect(cd[0]).toBe('1e204c0003510');
    expect(BigInt(`0x${cd[1]}`) & 0xfffn).toBe(0n);
    expect(cd.slice(2)).toEqual([ZERO, 'fffffffff404ff44', ZERO, ZERO, ZERO, ZERO]);
  });

  test('the second domain has ASID 2', () => {
    const { smmu, driver, device } = rigOf(CAPTURE_A);
    const handle = device([0x10]);
    driver.allocPaging(handle, 0, null);
    driver.allocPaging(handle, 0, null).attach(handle, driver.blocked);
    const ste = smmu.words(smmu.steAddress(0x10))[0]!;
    expect(smmu.words(Number(BigInt(`0x${ste}`) & 0xff_ffff_ffff_ffc0n))[0]).toBe('2e204c0003510');
  });

  test('stage 2: STE of the second capture', () => {
    const { smmu, driver, device } = rigOf(CAPTURE_B);
    const handle = device([0x8]);
    driver.allocPaging(handle, 0, null).attach(handle, driver.blocked);
    const ste = smmu.words(smmu.steAddress(8));
    expect(ste.slice(0, 3)).toEqual(['d', ZERO, '44c359400000001']);
    expect(BigInt(`0x${ste[3]}`) & 0xfffn).toBe(0n);
    expect(ste.slice(4)).toEqual([ZERO, ZERO, ZERO, ZERO]);
  });

  test('identity and blocked, and ATTR_TYPES_OVR', () => {
    const { smmu, driver, device } = rigOf(CAPTURE_A);
    const handle = device([0x28]);
    expect(smmu.words(smmu.steAddress(0x28), 2)).toEqual(['1', ZERO]);
    driver.identity.attach(handle, driver.blocked);
    expect(smmu.words(smmu.steAddress(0x28), 2)).toEqual(['9', ZERO]);
    driver.blocked.attach(handle, driver.identity);
    expect(smmu.words(smmu.steAddress(0x28), 2)).toEqual(['1', ZERO]);
    const other = rigOf({ ...CAPTURE_A, idr1: 0x0a73_0010 });
    const bypassed = other.device([0x28]);
    other.driver.identity.attach(bypassed, other.driver.blocked);
    expect(other.smmu.words(other.smmu.steAddress(0x28), 2)).toEqual(['9', '100000000000']);
  });

  test('S1STALLD where the SMMU could stall, S where it always does', () => {
    const could = rigOf({ ...CAPTURE_A, idr0: 0x0c44_101a });
    const handle = could.device([8]);
    could.driver.allocPaging(handle, 0, null).attach(handle, could.driver.blocked);
    expect(could.smmu.words(could.smmu.steAddress(8))[1]).toBe('80000d6');
    const must = rigOf({ ...CAPTURE_B, idr0: 0x0e44_1019 });
    const other = must.device([8]);
    must.driver.allocPaging(other, 0, null).attach(other, must.driver.blocked);
    expect(must.smmu.words(must.smmu.steAddress(8))[2]).toBe('64c359400000001');
  });
});

describe('stream table', () => {
  test('a leaf comes with its first device, refuses all others, and is announced with Leaf = 0', () => {
    const { smmu, driver, commandsOf } = rigOf(CAPTURE_A);
    const probe = (sid: number): string[] =>
      commandsOf(() => driver.probeDevice({ ...rigOfDevice, requesterIds: [sid] }));
    expect(smmu.words(smmu.base(0x80) + 8, 1)).toEqual([ZERO]);
    expect(probe(0x142)).toEqual([cfgiSte('42010000', '00'), SYNC]);
    expect(probe(0x143)).toEqual([]);
    const [l1] = smmu.words(smmu.base(0x80) + 8, 1);
    expect(BigInt(`0x${l1}`) & 0x3fn).toBe(9n);
    for (const sid of [0x100, 0x142, 0x1ff]) expect(smmu.words(smmu.steAddress(sid), 2)).toEqual(['1', ZERO]);
    expect(smmu.words(smmu.base(0x80), 1)).toEqual([ZERO]);
  });

  test('linear where there are few streams; ids past the end are EINVAL', () => {
    const { smmu, driver } = rigOf({ ...CAPTURE_A, idr1: 0x0273_0006, idr0: 0x0544_101a });
    expect(smmu.register(0x88)).toBe(6);
    expect(smmu.words(smmu.base(0x80) + 63 * 64, 2)).toEqual(['1', ZERO]);
    expect(errnoOf(() => driver.probeDevice({ ...rigOfDevice, requesterIds: [64] }))).toBe('EINVAL');
    expect(errnoOf(() => driver.probeDevice({ ...rigOfDevice, requesterIds: [63] }))).toBe('none');
  });

  test('no memory for a leaf: nothing changes', () => {
    const { smmu, driver, commandsOf } = rigOf(CAPTURE_A);
    const live = smmu.memory.live;
    smmu.memory.failNth(1);
    const probe = (): string => errnoOf(() => driver.probeDevice({ ...rigOfDevice, requesterIds: [5] }));
    expect(commandsOf(() => expect(probe()).toBe('ENOMEM'))).toEqual([]);
    expect(smmu.memory.live).toBe(live);
    expect(probe()).toBe('none');
  });
});

const rigOfDevice = {
  name: 'probed',
  pasidBits: 0,
  ats: false,
  pri: false,
  coherent: false,
  isolation: null,
  busLimits: [],
} as const;

describe('what an attach issues', () => {
  test('abort to stage 1: ignored words first, then the switch, one CFGI_STE and SYNC each', () => {
    const { driver, device, commandsOf } = rigOf(CAPTURE_A);
    const handle = device([0x8]);
    const domain = driver.allocPaging(handle, 0, null);
    const step = [cfgiSte('08000000'), SYNC];
    expect(commandsOf(() => domain.attach(handle, driver.blocked))).toEqual([...step, ...step]);
  });

  test('back to abort: the switch, then the rest, then the tag of a domain without devices', () => {
    const { driver, device, commandsOf } = rigOf(CAPTURE_A);
    const handle = device([0x8]);
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    const step = [cfgiSte('08000000'), SYNC];
    const issued = commandsOf(() => driver.blocked.attach(handle, domain));
    expect(issued).toEqual([...step, ...step, '11000000000001000000000000000000', SYNC]);
  });

  test('stage 1 to stage 1 is a single write of the pointer: no request is refused on the way', () => {
    const { smmu, driver, device, commandsOf } = rigOf(CAPTURE_A);
    const handle = device([0x8]);
    const [first, second] = [driver.allocPaging(handle, 0, null), driver.allocPaging(handle, 0, null)];
    first.attach(handle, driver.blocked);
    const before = smmu.words(smmu.steAddress(8));
    const issued = commandsOf(() => second.attach(handle, first));
    expect(issued).toEqual([cfgiSte('08000000'), SYNC, '11000000000001000000000000000000', SYNC]);
    const after = smmu.words(smmu.steAddress(8));
    expect(after.slice(1)).toEqual(before.slice(1));
    expect(after[0]).not.toBe(before[0]);
  });

  test('the tag is flushed only when the last of several devices is gone', () => {
    const { driver, device, commandsOf } = rigOf(CAPTURE_B);
    const [one, two] = [device([8]), device([9])];
    const domain = driver.allocPaging(one, 0, null);
    domain.attach(one, driver.blocked);
    domain.attach(two, driver.blocked);
    const vmall = '28000000010000000000000000000000';
    expect(commandsOf(() => driver.blocked.attach(one, domain))).not.toContain(vmall);
    expect(commandsOf(() => driver.identity.attach(two, domain)).slice(-2)).toEqual([vmall, SYNC]);
  });
});

describe('errors leave things as they were', () => {
  test('another SMMU: EINVAL', () => {
    const [here, there] = [rigOf(CAPTURE_A), rigOf(CAPTURE_A)];
    const domain = there.driver.allocPaging(there.device([8]), 0, null);
    const handle = here.device([8]);
    expect(errnoOf(() => domain.attach(handle, here.driver.blocked))).toBe('EINVAL');
    expect(here.smmu.words(here.smmu.steAddress(8), 1)).toEqual(['1']);
  });

  test('a domain that enforces coherency takes coherent devices only', () => {
    const { driver, device } = rigOf(CAPTURE_A);
    const [loose, coherent] = [device([8]), device([9], { coherent: true })];
    const domain = driver.allocPaging(coherent, 0, null);
    domain.attach(coherent, driver.blocked);
    expect(domain.enforceCacheCoherency?.()).toBe(true);
    expect(errnoOf(() => domain.attach(loose, driver.blocked))).toBe('EINVAL');
    const other = driver.allocPaging(loose, 0, null);
    other.attach(loose, driver.blocked);
    expect(other.enforceCacheCoherency?.()).toBe(false);
  });

  test('no memory for the CDs: still blocked, nothing leaked', () => {
    const { smmu, driver, device, commandsOf } = rigOf(CAPTURE_A);
    const handle = device([8]);
    const domain = driver.allocPaging(handle, 0, null);
    const live = smmu.memory.live;
    smmu.memory.failNth(1);
    const issued = commandsOf(() => expect(errnoOf(() => domain.attach(handle, driver.blocked))).toBe('ENOMEM'));
    expect(issued).toEqual([]);
    expect(smmu.memory.live).toBe(live);
    expect(smmu.words(smmu.steAddress(8), 1)).toEqual(['1']);
  });

  test('VMIDs and ASIDs run out, and come back', () => {
    const { driver, device } = rigOf({ ...CAPTURE_A, idr0: 0x0d44_001a });
    const handle = device([8]);
    const domains = Array.from({ length: 255 }, () => driver.allocPaging(handle, 0, null));
    expect(errnoOf(() => driver.allocPaging(handle, 0, null))).toBe('ENOSPC');
    domains[100]!.free();
    expect(errnoOf(() => driver.allocPaging(handle, 0, null))).toBe('none');
  });

  test.each([
    ['NEST_PARENT without stage 2', CAPTURE_A, 1],
    ['NEST_PARENT with PASID', NESTING, 9],
    ['NEST_PARENT with DIRTY', NESTING, 3],
    ['DIRTY without HTTU', NESTING, 2],
    ['PASID without stage 1', CAPTURE_B, 8],
    ['PASID without substreams', CAPTURE_A, 8],
    ['FAULT', NESTING, 4],
    ['an unknown flag', NESTING, 16],
  ])('%s: EOPNOTSUPP', (_what, script, flags) => {
    const { smmu, driver, device } = rigOf(script);
    const handle = device([8]);
    const live = smmu.memory.live;
    expect(errnoOf(() => driver.allocPaging(handle, flags, null))).toBe('EOPNOTSUPP');
    const data = { type: 0, bytes: new Uint8Array(0) };
    expect(errnoOf(() => driver.allocPaging(handle, 0, data))).toBe('EOPNOTSUPP');
    expect(smmu.memory.live).toBe(live);
  });

  test('everything comes back', () => {
    const { smmu, driver, device } = rigOf(NESTING);
    const handle = device([8], { pasidBits: 10 });
    const live = smmu.memory.live;
    const [rid, pasid] = [driver.allocPaging(handle, 0, null), driver.allocPaging(handle, 0, null)];
    rid.attach(handle, driver.blocked);
    pasid.attachPasid?.(handle, 5, driver.blocked);
    driver.blocked.attachPasid?.(handle, 5, pasid);
    driver.blocked.attach(handle, rid);
    rid.free();
    pasid.free();
    driver.releaseDevice(handle);
    expect(smmu.memory.live).toBe(live);
    driver.release();
    expect(smmu.memory.live).toBe(0);
  });
});
