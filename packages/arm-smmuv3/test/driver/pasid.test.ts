import { describe, expect, test } from 'vitest';
import { errnoOf, rigOf, SYNC } from './rig.ts';
import { CAPTURE_A, NESTING } from './scripted-smmu.ts';

const WITH_PASIDS = { pasidBits: 8 } as const;

function rig() {
  const made = rigOf(NESTING);
  const handle = made.device([8], WITH_PASIDS);
  const stage1 = () => made.driver.allocPaging(handle, 0, null);
  const ste = (): bigint[] => made.smmu.words(made.smmu.steAddress(8)).map((word) => BigInt(`0x${word}`));
  const cd = (ssid: number): string => {
    const pointer = Number(ste()[0]! & 0xff_ffff_ffff_ffc0n);
    return made.smmu.words(pointer + ssid * 64)[0]!;
  };
  return { ...made, handle, stage1, ste, cd };
}

describe('PASIDs', () => {
  test('a device with PASIDs has a table: S1CDMax 8, S1DSS 2', () => {
    const { driver, handle, stage1, ste } = rig();
    expect(handle.maxPasids).toBe(256);
    stage1().attach(handle, driver.blocked);
    expect(ste()[0]! >> 59n).toBe(8n);
    expect(ste()[0]! & 0x3fn).toBe(0xbn);
    expect(ste()[1]).toBe(0xd6n);
  });

  test('beside stage 1 a PASID only gets its CD: valid last, CFGI_CD and SYNC at each step', () => {
    const { driver, handle, stage1, cd, commandsOf } = rig();
    const [rid, pasid] = [stage1(), stage1()];
    rid.attach(handle, driver.blocked);
    const cfgi = ['05500000080000000100000000000000', SYNC];
    expect(commandsOf(() => pasid.attachPasid!(handle, 5, driver.blocked))).toEqual([...cfgi, ...cfgi]);
    expect(cd(5)).toBe('2e204c0003510');
    const flush = ['11000000000002000000000000000000', SYNC];
    expect(commandsOf(() => driver.blocked.attachPasid!(handle, 5, pasid))).toEqual([...cfgi, ...cfgi, ...flush]);
    expect(cd(5)).toBe('0');
  });

  test('identity with PASIDs is stage 1 with S1DSS bypass, blocked with S1DSS terminate; alone they are plain', () => {
    const { driver, handle, stage1, ste } = rig();
    const domain = stage1();
    driver.identity.attach(handle, driver.blocked);
    domain.attachPasid!(handle, 1, driver.blocked);
    expect([ste()[0]! & 0xfn, ste()[1]! & 3n]).toEqual([0xbn, 1n]);
    driver.blocked.attach(handle, driver.identity);
    expect([ste()[0]! & 0xfn, ste()[1]! & 3n]).toEqual([0xbn, 0n]);
    driver.blocked.attachPasid!(handle, 1, domain);
    expect([ste()[0], ste()[1]]).toEqual([1n, 0n]);
  });

  test('CD 0 is gone when the device leaves stage 1, also while PASIDs stay', () => {
    const { driver, handle, stage1, cd } = rig();
    const [rid, pasid] = [stage1(), stage1()];
    rid.attach(handle, driver.blocked);
    pasid.attachPasid!(handle, 3, driver.blocked);
    driver.identity.attach(handle, rid);
    expect([cd(0), cd(3)]).toEqual(['0', '2e204c0003510']);
  });

  test('what does not go together', () => {
    const { driver, device, handle, stage1 } = rig();
    const parent = driver.allocPaging(handle, 1, null);
    const domain = stage1();
    expect(errnoOf(() => parent.attachPasid!(handle, 1, driver.blocked))).toBe('EINVAL');
    expect(errnoOf(() => domain.attachPasid!(handle, 256, driver.blocked))).toBe('EINVAL');
    expect(errnoOf(() => domain.attachPasid!(handle, 0, driver.blocked))).toBe('EINVAL');
    expect(errnoOf(() => domain.attachPasid!(device([9]), 1, driver.blocked))).toBe('EINVAL');
    domain.attachPasid!(handle, 1, driver.blocked);
    expect(errnoOf(() => parent.attach(handle, driver.blocked))).toBe('EBUSY');
    driver.blocked.attachPasid!(handle, 1, domain);
    parent.attach(handle, driver.blocked);
    expect(errnoOf(() => domain.attachPasid!(handle, 1, driver.blocked))).toBe('EINVAL');
  });

  test('without SubstreamIDs there are none', () => {
    const { driver, device } = rigOf(CAPTURE_A);
    expect(device([8], WITH_PASIDS).maxPasids).toBe(0);
    expect(driver.capabilities.has('pasid')).toBe(false);
  });

  test('two levels beyond 1024: a 64 KiB leaf when it is needed, announced with Leaf = 0', () => {
    const script = { ...NESTING, idr1: 0x0273_0010 | (14 << 6), idr0: NESTING.idr0 | (1 << 19) };
    const { smmu, driver, device, commandsOf } = rigOf(script);
    const handle = device([8], { pasidBits: 20 });
    expect(handle.maxPasids).toBe(2 ** 14);
    const [rid, pasid] = [driver.allocPaging(handle, 0, null), driver.allocPaging(handle, 0, null)];
    rid.attach(handle, driver.blocked);
    const issued = commandsOf(() => pasid.attachPasid!(handle, 0x1005, driver.blocked));
    expect(issued.slice(0, 3)).toEqual(['05500001080000000000000000000000', SYNC, '05500001080000000100000000000000']);
    const ste = BigInt(`0x${smmu.words(smmu.steAddress(8))[0]}`);
    expect([(ste >> 4n) & 3n, ste >> 59n]).toEqual([2n, 14n]);
    const [l1] = smmu.words(Number(ste & 0xff_ffff_ffff_ffc0n) + 4 * 8, 1);
    expect(BigInt(`0x${l1}`) & 0xffffn).toBe(1n);
    const leaf = Number(BigInt(`0x${l1}`) & 0xff_ffff_ffff_f000n);
    expect(smmu.words(leaf + 5 * 64, 1)).toEqual(['2e204c0003510']);
  });

  test('one level of 1024 without CD2L', () => {
    const { device } = rigOf({ ...NESTING, idr1: 0x0273_0010 | (14 << 6), idr0: NESTING.idr0 & ~(1 << 19) });
    expect(device([8], { pasidBits: 20 }).maxPasids).toBe(1024);
  });
});
