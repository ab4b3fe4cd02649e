import { isIommuError } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { createSmmuDriver } from '../../src/driver/driver.ts';
import { CAPTURE_A, NESTING, type Script, ScriptedSmmu, UNIT } from './scripted-smmu.ts';

function probed(script: Script = CAPTURE_A): { smmu: ScriptedSmmu; driver: ReturnType<typeof createSmmuDriver> } {
  const smmu = new ScriptedSmmu(script);
  const driver = createSmmuDriver(smmu, UNIT);
  driver.probe();
  return { smmu, driver };
}

function errnoOf(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return 'none';
}

const SYNC = '46000000000000000000000000000000';

describe('bring-up', () => {
  test('goes in the order of IHI 0070 3.11 and leaves the registers a real kernel leaves', () => {
    const { smmu } = probed();
    const order = smmu.writes.map((write) => write.split('=')[0]);
    expect(order).toEqual([
      '20',
      '28',
      '2c',
      '80',
      '88',
      '64',
      '90',
      '9c',
      '20',
      'a0',
      '100a8',
      '100ac',
      '20',
      '50',
      '50',
      '20',
    ]);
    expect(smmu.register(0x20)).toBe(0x0d); // CR0 of the capture
    expect(smmu.register(0x28)).toBe(0x0d75); // CR1
    expect(smmu.register(0x2c)).toBe(0x06); // CR2: RECINVSID, PTM
    expect(smmu.register(0x88)).toBe(0x0001_0210); // STRTAB_BASE_CFG: two levels, SPLIT 8, 16 bits
    expect(smmu.register(0x84) >>> 24).toBe(0x40); // STRTAB_BASE.RA
    expect(smmu.register(0x94) >>> 24).toBe(0x40); // CMDQ_BASE.RA
    expect(smmu.register(0x50)).toBe(0x05); // IRQ_CTRL: GERROR, EVENTQ
  });

  test('empties all caches before SMMUEN', () => {
    const { smmu } = probed();
    expect(smmu.commands).toEqual(['04000000000000001f00000000000000', SYNC, '30000000000000000000000000000000', SYNC]);
  });

  test('a unit found running is made to refuse before it is switched off', () => {
    const { smmu } = probed({ ...CAPTURE_A, cr0: 1 });
    expect(smmu.writes.slice(0, 2)).toEqual(['44=80101000', '20=0']);
  });

  test('release gives everything back and switches the unit off', () => {
    const { smmu, driver } = probed();
    driver.release();
    expect(smmu.memory.live).toBe(0);
    expect(smmu.register(0x20)).toBe(0);
    expect(smmu.register(0x50)).toBe(0);
    expect([...driver.capabilities]).toEqual([]);
    driver.probe();
    driver.release();
    expect(smmu.memory.live).toBe(0);
  });

  test.each([
    ['no AArch64 tables', { ...CAPTURE_A, idr0: 0x0d44_1016 }],
    ['no stage', { ...CAPTURE_A, idr0: 0x0d44_1018 }],
    ['big-endian tables', { ...CAPTURE_A, idr0: 0x0d64_101a }],
    ['tables preset', { ...CAPTURE_A, idr1: 0x4273_0010 }],
    ['queues preset', { ...CAPTURE_A, idr1: 0x2273_0010 }],
    ['a command queue of 64', { ...CAPTURE_A, idr1: 0x00d3_0010 }],
    ['no granule', { ...CAPTURE_A, idr5: 0x04 }],
  ])('refuses %s', (_what, script) => {
    const smmu = new ScriptedSmmu(script);
    expect(errnoOf(() => createSmmuDriver(smmu, UNIT).probe())).toBe('ENODEV');
    expect(smmu.writes).toEqual([]);
    expect(smmu.memory.live).toBe(0);
  });

  test.each(['cr0', 'cmdq', 'irq'] as const)('a dead %s is a timeout and leaks nothing', (dead) => {
    const smmu = new ScriptedSmmu({ ...CAPTURE_A, dead, cr0: dead === 'cr0' ? 1 : 0 });
    expect(errnoOf(() => createSmmuDriver(smmu, UNIT).probe())).toBe('ETIMEDOUT');
    expect(smmu.memory.live).toBe(0);
  });

  test('out of memory at every allocation leaks nothing', () => {
    for (let nth = 1; ; nth++) {
      const smmu = new ScriptedSmmu();
      smmu.memory.failNth(nth);
      const errno = errnoOf(() => createSmmuDriver(smmu, UNIT).probe());
      if (errno === 'none') break;
      expect(errno).toBe('ENOMEM');
      expect(smmu.memory.live).toBe(0);
    }
  });
});

describe('capabilities', () => {
  test('come from the identification registers', () => {
    const of = (script: Script): string[] => [...probed(script).driver.capabilities].sort();
    const always = ['enforce-cache-coherency', 'execute-permission', 'hw-info', 'identity-passthrough', 'large-pages'];
    expect(of(CAPTURE_A)).toEqual(always);
    expect(of({ ...CAPTURE_A, idr0: 0x0d44_1019 })).toEqual([...always, 'write-only-mapping']);
    expect(of(NESTING)).toEqual([...always, 'nest-parent', 'pasid', 'viommu'].sort());
    expect(of({ ...CAPTURE_A, idr0: 0x0d44_109a })).toEqual(['dirty-tracking', ...always]);
  });
});
