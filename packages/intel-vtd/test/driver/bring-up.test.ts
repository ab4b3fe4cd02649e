import { describe, expect, it } from 'vitest';
import { FIRST_STAGE, FULL, hexOf, LEGACY, PAGES_BASE, rig } from './scripted-unit.ts';

const QUEUE = PAGES_BASE;

describe('bring-up', () => {
  it('legacy mode writes the registers in the order a real kernel does', () => {
    const { unit, driver } = rig(LEGACY);
    driver.probe();
    // A-legacy-strict/register-writes.json, with its addresses, without the interrupt remapping it also turns on:
    // 90=525f000 18=4000000 20=7415000 18=46000000 3c=20 40=fee00000 44=0 38=0 18=86000000
    const root = unit.get64(0x20);
    const ring = unit.get64(0x90);
    expect(unit.program).toEqual([
      `90=${ring.toString(16)}`,
      '18=4000000',
      `20=${root.toString(16)}`,
      '18=44000000',
      '3c=20',
      '40=fee00000',
      '44=0',
      '38=0',
      '18=84000000',
    ]);
    expect(ring & 0xfffn).toBe(0n);
    expect(root & 0xfffn).toBe(0n);
    expect(ring >= QUEUE).toBe(true);
    expect(unit.enabled).toBe(true);
  });

  it('scalable mode asks for 256-bit descriptors, two pages of them, and scalable root entries', () => {
    const { unit, driver } = rig(FIRST_STAGE);
    driver.probe();
    // C-scalable-first-stage: 90=5274801, 20=6f58400
    expect(unit.get64(0x90) & 0xfffn).toBe(0x801n);
    expect(unit.get64(0x90) % 0x2000n).toBe(0x801n);
    expect(unit.get64(0x20) & 0xfffn).toBe(0x400n);
  });

  it('forgets everything before it translates: context, PASID, IOTLB, then a wait with a status of its own', () => {
    const legacy = rig(LEGACY);
    legacy.driver.probe();
    // A-legacy-strict/descriptors.json rows 12 and 14, and its wait
    expect(legacy.unit.fetched.map((d) => d[0]!.toString(16))).toEqual(['11', 'd2', '200000025']);
    const scalable = rig(FIRST_STAGE);
    scalable.driver.probe();
    // C-scalable-first-stage rows 12, 14, 16
    expect(scalable.unit.fetched.map((d) => d[0]!.toString(16))).toEqual(['11', '37', 'd2', '200000025']);
    const wait = scalable.unit.fetched[3]!;
    expect(hexOf(wait.slice(2))).toEqual(['0', '0']);
    expect(wait[1]! & 0xfffn).toBe(0xcn); // ring index 3, four bytes each, as in the captures
    expect(scalable.quad(wait[1]! & ~7n) >> 32n).toBe(2n);
  });

  it('leaves that out where the unit does it by itself (ESRTPS)', () => {
    const { unit, driver } = rig({ ...LEGACY, cap: LEGACY.cap | (1n << 63n) });
    driver.probe();
    expect(unit.fetched).toEqual([]);
  });

  it('uses the registers where there is no queue', () => {
    const { unit, driver } = rig({ ...LEGACY, ecap: LEGACY.ecap & ~2n });
    driver.probe();
    // CCMD: ICC, global = bit 61. IOTLB at 0xf0 + 8: IVT, global = bit 60, DR, DW = bits 49, 48.
    expect(unit.program.filter((w) => /^(28|f8|90)=/.test(w))).toEqual(['28=a000000000000000', 'f8=9003000000000000']);
    expect(unit.enabled).toBe(true);
  });

  it('first stops what firmware left on', () => {
    const { unit, driver } = rig(LEGACY);
    unit.leave(0xc600_0000 | 0);
    driver.probe();
    expect(unit.program.slice(0, 3)).toEqual(['18=6000000', '18=2000000', expect.stringMatching(/^90=/)]);
    expect(unit.program.at(-1)).toBe('18=86000000'); // interrupt remapping (bit 25) stays
  });

  it('clears the queue errors it finds, or nothing would ever be fetched', () => {
    const { unit, driver } = rig(LEGACY);
    unit.words.set(0x34, 0x50);
    driver.probe();
    expect(unit.program[0]).toBe('34=50');
    expect(unit.enabled).toBe(true);
  });

  it('opens protected memory once translation is on', () => {
    const { unit, driver } = rig({ ...LEGACY, cap: LEGACY.cap | 0x60n });
    unit.words.set(0x64, 0x8000_0000);
    driver.probe();
    expect(unit.program.slice(-2)).toEqual(['18=84000000', '64=0']);
  });

  it.each([
    ['no unit answers', { cap: (1n << 64n) - 1n, ecap: (1n << 64n) - 1n }],
    ['nothing is there', { cap: 0n, ecap: 0n }],
    ['a reserved number of domain-ids', { ...LEGACY, cap: LEGACY.cap | 7n }],
    ['no table depth', { ...LEGACY, cap: LEGACY.cap & ~0x1f00n }],
    ['scalable mode without a stage', { ...FIRST_STAGE, ecap: FIRST_STAGE.ecap & ~(1n << 47n) }],
    ['no queue, and registers that were removed', { ...LEGACY, ecap: LEGACY.ecap & ~2n, ver: 0x60 }],
  ])('ENODEV: %s', (_title, registers) => {
    const { driver, pages } = rig(registers);
    expect(() => driver.probe()).toThrow(expect.objectContaining({ errno: 'ENODEV' }));
    expect(pages.livePages).toBe(0);
    expect(driver.capabilities.size).toBe(0);
  });

  it('ETIMEDOUT when a command is never confirmed', () => {
    const { driver, unit } = rig(LEGACY);
    unit.alive = false;
    expect(() => driver.probe()).toThrow(expect.objectContaining({ errno: 'ETIMEDOUT' }));
  });

  it.each([LEGACY, FIRST_STAGE, FULL])('gives everything back, and comes up again', (registers) => {
    const { driver, unit, pages } = rig(registers);
    driver.probe();
    driver.release();
    expect(pages.livePages).toBe(0);
    expect(unit.enabled).toBe(false);
    expect(unit.program.slice(-3)).toEqual(['38=80000000', '18=4000000', '18=0']);
    driver.probe();
    expect(unit.enabled).toBe(true);
  });

  it('ENOMEM at any allocation leaves nothing behind', () => {
    for (let nth = 1; nth <= 3; nth++) {
      const { driver, pages } = rig(FULL);
      pages.failNth(nth);
      expect(() => driver.probe()).toThrow(expect.objectContaining({ errno: 'ENOMEM' }));
      expect(pages.livePages).toBe(0);
    }
  });
});

describe('capabilities', () => {
  const found = (registers: typeof FULL) => {
    const { driver } = rig(registers);
    driver.probe();
    return [...driver.capabilities].sort();
  };

  it('legacy', () => {
    expect(found(LEGACY)).toEqual([
      'hw-info',
      'identity-passthrough',
      'large-pages',
      'reports-blocked',
      'write-only-mapping',
    ]);
  });

  it('first stage only', () => {
    expect(found(FIRST_STAGE)).toEqual(['hw-info', 'identity-passthrough', 'large-pages', 'reports-blocked']);
  });

  it('everything', () => {
    expect(found(FULL)).toEqual([
      'dirty-tracking',
      'enforce-cache-coherency',
      'hw-info',
      'identity-passthrough',
      'large-pages',
      'nest-parent',
      'nested-on-parent',
      'pasid',
      'reports-blocked',
    ]);
  });
});
