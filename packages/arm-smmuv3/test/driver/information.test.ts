import { bytesToHex } from '@iommukit/bits';
import { ALLOC } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { createSmmuDriver } from '../../src/driver/driver.ts';
import { errnoOf, mapOne, rigOf } from './rig.ts';
import { CAPTURE_A, CAPTURE_B, deviceWith, NESTING, ScriptedSmmu, UNIT } from './scripted-smmu.ts';

describe('information', () => {
  test('hw_info is 40 bytes: flags, reserved, IDR0..5, IIDR, AIDR as they are', () => {
    const { driver, device } = rigOf(CAPTURE_A);
    const handle = device([8]);
    const info = driver.hwInfo(handle, 0)!;
    expect(info.type).toBe(2);
    expect(bytesToHex(info.bytes)).toBe(
      '0000000000000000' +
        '1a10440d' +
        '10007302' +
        '00000000' +
        '04140000' +
        '00000000' +
        '74000000' +
        '00000000' +
        '01000000',
    );
    expect(driver.hwInfo(handle, 2)).toEqual(info);
    expect(errnoOf(() => driver.hwInfo(handle, 1))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => driver.hwInfo(handle, 3))).toBe('EOPNOTSUPP');
  });

  test('reserved regions: the MSI window first, then what firmware says of these ids', () => {
    const smmu = new ScriptedSmmu();
    const region = (start: bigint, relaxable: boolean, devices: number[]) => ({
      start,
      last: start + 0xfffn,
      relaxable,
      devices,
    });
    const reservations = [region(0x1000n, false, [8]), region(0x5000n, true, [7, 9]), region(0x9000n, false, [7])];
    const driver = createSmmuDriver(smmu, { ...UNIT, reservations });
    driver.probe();
    expect(driver.reservedRegions(driver.probeDevice(deviceWith([8, 9])))).toEqual([
      { start: 0x800_0000n, last: 0x80f_ffffn, prot: 2 | 8 | 16, type: 'sw-msi' },
      { start: 0x1000n, last: 0x1fffn, prot: 3, type: 'direct' },
      { start: 0x5000n, last: 0x5fffn, prot: 3, type: 'direct-relaxable' },
    ]);
  });

  test('what a device is capable of', () => {
    const { driver, device } = rigOf({ ...NESTING, idr0: NESTING.idr0 | 0x80 });
    const [plain, able] = [device([8]), device([9], { coherent: true, pasidBits: 4, ats: true })];
    const of = (handle: typeof plain) =>
      (
        [
          'cache-coherency',
          'enforce-cache-coherency',
          'noexec',
          'dirty-tracking',
          'deferred-flush',
          'pci-ats',
          'pasid',
        ] as const
      ).filter((one) => driver.capable(handle, one));
    expect(of(plain)).toEqual(['cache-coherency', 'noexec', 'dirty-tracking', 'deferred-flush']);
    expect(of(able)).toEqual([
      'cache-coherency',
      'enforce-cache-coherency',
      'noexec',
      'dirty-tracking',
      'deferred-flush',
      'pasid',
    ]);
  });

  test.each([
    ['4K', CAPTURE_A, 0x4020_1000n, (1n << 48n) - 1n],
    ['16K', { ...CAPTURE_A, idr5: 0x64 }, 0x200_4000n, (1n << 48n) - 1n],
    ['64K', { ...CAPTURE_A, idr5: 0x44 }, 0x2001_0000n, (1n << 48n) - 1n],
    ['64K with 52-bit input', { ...CAPTURE_A, idr5: 0x446 }, 0x2001_0000n, (1n << 52n) - 1n],
    ['stage 2: as wide as physical addresses', CAPTURE_B, 0x4020_1000n, (1n << 44n) - 1n],
  ])('page sizes and geometry: %s', (_name, script, sizes, last) => {
    const { driver, device } = rigOf(script);
    const { pageSizes, geometry } = driver.allocPaging(device([8]), 0, null);
    expect([pageSizes, geometry]).toEqual([sizes, { start: 0n, last }]);
  });
});

describe('dirty tracking', () => {
  /** HTTU 2: access flag and dirty state by hardware. */
  const HTTU = { ...CAPTURE_A, idr0: CAPTURE_A.idr0 | 0x80 };

  test('is in the CD (HA, HD) and in writable leaves (DBM), from the start', () => {
    const { smmu, driver, device } = rigOf(HTTU);
    const handle = device([8]);
    const domain = driver.allocPaging(handle, ALLOC.DIRTY_TRACKING, null);
    domain.attach(handle, driver.blocked);
    const ste = BigInt(`0x${smmu.words(smmu.steAddress(8))[0]}`);
    expect(smmu.words(Number(ste & 0xff_ffff_ffff_ffc0n))[0]).toBe('1ee04c0003510');
  });

  test('pages count as written when mapped writable, are clean after a clear, and never when read-only', () => {
    const { driver, device } = rigOf(HTTU);
    const domain = driver.allocPaging(device([8]), ALLOC.DIRTY_TRACKING, null);
    mapOne(domain, 0x1000n, 0x5000n, 3);
    mapOne(domain, 0x2000n, 0x6000n, 1);
    const dirty = (keep: boolean): bigint[] => {
      const found: bigint[] = [];
      domain.readAndClearDirty!(0n, 1n << 48n, keep, (iova) => found.push(iova));
      return found;
    };
    expect(dirty(true)).toEqual([0x1000n]);
    expect(dirty(false)).toEqual([0x1000n]);
    expect(dirty(false)).toEqual([]);
    expect(domain.iovaToPhys(0x1234n)).toBe(0x5234n);
  });

  test('is absent where it was not asked for', () => {
    const { driver, device } = rigOf(HTTU);
    const domain = driver.allocPaging(device([8]), 0, null);
    expect([domain.setDirtyTracking, domain.readAndClearDirty]).toEqual([undefined, undefined]);
  });
});
