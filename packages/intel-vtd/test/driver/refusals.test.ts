import { ALLOC, PROT } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { device, FIRST_STAGE, FULL, LEGACY, type Rig, upRig } from './scripted-unit.ts';

const errno = (name: string) => expect.objectContaining({ errno: name });

describe('paging domains', () => {
  const kind = (registers: typeof FULL, flags: number): string => {
    const { driver } = upRig(registers);
    return (driver.allocPaging(driver.probeDevice(device([1])), flags, null) as { format?: { name: string } }).format!
      .name;
  };

  it('use the first stage unless a flag or the unit says otherwise', () => {
    expect(kind(FULL, 0)).toBe('vtd-first-stage');
    expect(kind(FULL, ALLOC.PASID)).toBe('vtd-first-stage');
    expect(kind(FULL, ALLOC.NEST_PARENT)).toBe('vtd-second-stage');
    expect(kind(FULL, ALLOC.DIRTY_TRACKING | ALLOC.PASID)).toBe('vtd-second-stage');
    expect(kind(LEGACY, 0)).toBe('vtd-second-stage');
    expect(kind({ ...FULL, ecap: FULL.ecap & ~(1n << 47n) }, 0)).toBe('vtd-second-stage');
  });

  it.each([
    ['nesting in legacy mode', LEGACY, ALLOC.NEST_PARENT],
    ['nesting without NEST', { ...FULL, ecap: FULL.ecap & ~(1n << 26n) }, ALLOC.NEST_PARENT],
    ['logging without SSADS', { ...FULL, ecap: FULL.ecap & ~(1n << 45n) }, ALLOC.DIRTY_TRACKING],
    ['logging on an unsnooped walk', { ...FULL, ecap: FULL.ecap & ~(1n << 48n) }, ALLOC.DIRTY_TRACKING],
    ['PASIDs in legacy mode', LEGACY, ALLOC.PASID],
    ['PASIDs without PASID', FIRST_STAGE, ALLOC.PASID],
    ['page faults', FULL, ALLOC.FAULT],
    ['an unknown flag', FULL, 16],
  ])('EOPNOTSUPP: %s', (_title, registers, flags) => {
    const { driver, pages } = upRig(registers);
    const handle = driver.probeDevice(device([1]));
    const before = pages.livePages;
    expect(() => driver.allocPaging(handle, flags, null)).toThrow(errno('EOPNOTSUPP'));
    expect(() => driver.allocPaging(handle, 0, { type: 1, bytes: new Uint8Array(24) })).toThrow(errno('EOPNOTSUPP'));
    expect(pages.livePages).toBe(before);
  });

  it.each([
    // MGAW, SAGAW, FS5LP: last address of a second-stage domain and its depth (AW)
    [48, 0x6, (1n << 48n) - 1n, 4],
    [39, 0x6, (1n << 39n) - 1n, 3],
    [39, 0x4, (1n << 39n) - 1n, 4],
    [57, 0xe, (1n << 57n) - 1n, 5],
    [57, 0x6, (1n << 48n) - 1n, 4],
    [48, 0xe, (1n << 48n) - 1n, 4],
    [48, 0x2, (1n << 39n) - 1n, 3],
  ])('MGAW %i and SAGAW %i', (mgaw, sagaw, last, levels) => {
    const cap = (LEGACY.cap & ~0x3f_1f00n) | (BigInt(mgaw - 1) << 16n) | (BigInt(sagaw) << 8n);
    const { driver } = upRig({ ...LEGACY, cap });
    const domain = driver.allocPaging(driver.probeDevice(device([1])), 0, null);
    expect(domain.geometry).toEqual({ start: 0n, last });
    expect((domain as { format?: { levels: number } }).format!.levels).toBe(levels);
  });

  it('page sizes are those of SSLPS and FS1GP', () => {
    const sizes = (registers: typeof FULL) => {
      const { driver } = upRig(registers);
      return driver.allocPaging(driver.probeDevice(device([1])), 0, null).pageSizes;
    };
    expect(sizes(LEGACY)).toBe(0x4020_1000n);
    expect(sizes({ ...LEGACY, cap: LEGACY.cap & ~(0xfn << 34n) })).toBe(0x1000n);
    expect(sizes({ ...FIRST_STAGE, cap: FIRST_STAGE.cap & ~(1n << 56n) })).toBe(0x20_1000n);
  });
});

describe('devices', () => {
  it.each([[[]], [[-1]], [[0x1_0000]], [[1.5]], [[1, 0x1_0000]]])('EINVAL for ids %j', (ids) => {
    const { driver, pages } = upRig(FULL);
    const before = pages.livePages;
    expect(() => driver.probeDevice({ ...device([1]), requesterIds: ids })).toThrow(errno('EINVAL'));
    expect(pages.livePages).toBe(before);
  });

  it('identity without PT: EOPNOTSUPP, and the old domain stays', () => {
    const rig = upRig({ ...LEGACY, ecap: LEGACY.ecap & ~(1n << 6n) });
    const { driver } = rig;
    const handle = driver.probeDevice(device([1]));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    rig.descriptors();
    expect(() => driver.identity.attach(handle, domain)).toThrow(errno('EOPNOTSUPP'));
    expect(rig.descriptors()).toEqual([]);
  });

  it("EINVAL for another unit's device, or another vendor's", () => {
    const [a, b] = [upRig(LEGACY), upRig(LEGACY)];
    const domain = a.driver.allocPaging(a.driver.probeDevice(device([1])), 0, null);
    const stranger = b.driver.probeDevice(device([1]));
    expect(() => domain.attach(stranger, b.driver.blocked)).toThrow(errno('EINVAL'));
    const foreign = { description: device([1]), maxPasids: 0 };
    expect(() => domain.attach(foreign, b.driver.blocked)).toThrow(errno('EINVAL'));
  });

  it('capable() and hw_info', () => {
    const { driver } = upRig(FULL);
    const handle = driver.probeDevice(device([1], { ats: true, pasidBits: 4 }));
    const names = [
      'cache-coherency',
      'enforce-cache-coherency',
      'noexec',
      'dirty-tracking',
      'deferred-flush',
      'pci-ats',
      'pasid',
    ] as const;
    expect(names.filter((name) => driver.capable(handle, name))).toEqual(names.filter((name) => name !== 'noexec'));
    const plain = upRig(LEGACY);
    const other = plain.driver.probeDevice(device([1], { ats: true, pasidBits: 4 }));
    expect(names.filter((name) => plain.driver.capable(other, name))).toEqual(['cache-coherency', 'deferred-flush']);
    const info = plain.driver.hwInfo(other, 0)!;
    expect(info).toEqual(plain.driver.hwInfo(other, 1));
    expect(info.type).toBe(1);
    expect(Buffer.from(info.bytes).toString('hex')).toBe('010000000000000006062f228c00d2004a0ff00000000000');
    expect(() => plain.driver.hwInfo(other, 2)).toThrow(errno('EOPNOTSUPP'));
  });

  it('reserved regions: firmware first, the interrupt window last, attached or not', () => {
    const reservations = [
      { start: 0xad000n, last: 0xadfffn, relaxable: false, devices: [0x10, 0x11] },
      { start: 0x7c00_0000n, last: 0x7fff_ffffn, relaxable: true, devices: [0x10] },
      { start: 0x1000n, last: 0x1fffn, relaxable: true, devices: [0x12] },
    ];
    const { driver } = upRig(LEGACY, { reservations });
    const handle = driver.probeDevice(device([0x10]));
    const expected = [
      { start: 0xad000n, last: 0xadfffn, prot: PROT.READ | PROT.WRITE, type: 'direct' },
      { start: 0x7c00_0000n, last: 0x7fff_ffffn, prot: PROT.READ | PROT.WRITE, type: 'direct-relaxable' },
      { start: 0xfee0_0000n, last: 0xfeef_ffffn, prot: 0, type: 'msi' },
    ];
    expect(driver.reservedRegions(handle)).toEqual(expected);
    driver.identity.attach(handle, driver.blocked);
    expect(driver.reservedRegions(handle)).toEqual(expected);
  });
});

/** A life of everything that allocates; undoes what it did, also when something in it fails. */
function life({ driver }: Rig): void {
  const undo: (() => void)[] = [];
  const blocked = driver.blocked;
  const withPasids = driver.capabilities.has('pasid');
  try {
    const handles = [device([0x110, 0x280], { pasidBits: 20 }), device([0x480])].map((description) => {
      const handle = driver.probeDevice(description);
      undo.push(() => driver.releaseDevice(handle));
      return handle;
    });
    const domain = driver.allocPaging(handles[0]!, 0, null);
    undo.push(() => domain.free());
    for (const handle of handles) {
      undo.push(() => blocked.attach(handle, domain));
      domain.attach(handle, blocked);
    }
    undo.push(() => blocked.attachPasid!(handles[0]!, 0x4321, domain));
    if (withPasids) domain.attachPasid!(handles[0]!, 0x4321, blocked);
    const { error } = domain.mapPages(0x5000n, 0x5000n, 0x1000n, 1, PROT.READ | PROT.WRITE);
    if (error) throw error;
  } finally {
    for (const step of undo.reverse()) step();
  }
}

describe('memory', () => {
  it.each([
    ['legacy', LEGACY],
    ['scalable', FULL],
  ])('%s: everything comes back, and ENOMEM at any allocation is only that', (_title, registers) => {
    let failures = 0;
    for (let nth = 1; nth < 30; nth++) {
      const rig = upRig(registers);
      rig.pages.failNth(nth);
      try {
        life(rig);
      } catch (error) {
        failures++;
        expect(error).toEqual(errno('ENOMEM'));
      }
      rig.pages.failNth(null);
      rig.driver.release();
      expect(rig.pages.livePages).toBe(0);
    }
    expect(failures).toBeGreaterThan(5);
  });

  it('a device whose tables cannot be made leaves nothing behind', () => {
    const rig = upRig(FULL);
    rig.driver.probeDevice(device([0x100]));
    const before = rig.pages.livePages;
    for (const nth of [1, 2]) {
      rig.pages.failNth(nth);
      expect(() => rig.driver.probeDevice(device([0x200]))).toThrow(errno('ENOMEM'));
      expect(rig.pages.livePages).toBe(before);
    }
  });

  it('a failed attach leaves the entry and the domain-id as they were', () => {
    const rig = upRig(LEGACY);
    const { driver, pages, unit } = rig;
    const handle = driver.probeDevice(device([0x100]));
    const [a, b] = [driver.allocPaging(handle, 0, null), driver.allocPaging(handle, 0, null)];
    pages.failNth(1);
    expect(() => a.attach(handle, driver.blocked)).toThrow(errno('ENOMEM'));
    a.attach(handle, driver.blocked);
    const at = (rig.quad((unit.get64(0x20) & ~0xfffn) + 16n) & ~0xfffn) + 0n;
    const before = [rig.quad(at), rig.quad(at + 8n)];
    unit.alive = false;
    expect(() => b.attach(handle, a)).toThrow(errno('ETIMEDOUT'));
    expect([rig.quad(at), rig.quad(at + 8n)]).toEqual(before);
    expect(before[1]).toBe(0x202n);
  });
});

describe('a unit that stops answering', () => {
  const CM = { ...FULL, cap: FULL.cap | (1n << 7n) };

  it('while a device is admitted: no entry, and its directory is not used again before the unit is down', () => {
    const rig = upRig(CM);
    const { driver, pages, unit } = rig;
    driver.releaseDevice(driver.probeDevice(device([0x10])));
    const before = pages.livePages;
    unit.alive = false;
    expect(() => driver.probeDevice(device([0x11]))).toThrow(errno('ETIMEDOUT'));
    const table = rig.quad(unit.get64(0x20) & ~0xfffn) & ~0xfffn;
    expect(rig.quad(table + 0x11n * 32n)).toBe(0n);
    expect(pages.livePages).toBe(before + 1);
    unit.alive = true;
    unit.write32(0x88, unit.words.get(0x88)!);
    driver.release();
    expect(pages.livePages).toBe(0);
  });

  it('while a device is dismissed', () => {
    const rig = upRig(FULL);
    const { driver, pages, unit } = rig;
    const handle = driver.probeDevice(device([0x10], { pasidBits: 8 }));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attachPasid!(handle, 1, driver.blocked);
    driver.blocked.attachPasid!(handle, 1, domain);
    domain.free();
    unit.alive = false;
    expect(() => driver.releaseDevice(handle)).toThrow(errno('ETIMEDOUT'));
    unit.alive = true;
    unit.write32(0x88, unit.words.get(0x88)!);
    driver.release();
    expect(pages.livePages).toBe(0);
  });

  it('with descriptors in the queue: it is not disabled under them', () => {
    const { driver, pages, unit } = upRig(FULL);
    const handle = driver.probeDevice(device([0x10]));
    unit.stalled = true;
    expect(() => driver.releaseDevice(handle)).toThrow(errno('ETIMEDOUT'));
    unit.writes.length = 0;
    expect(() => driver.release()).toThrow(errno('ETIMEDOUT'));
    expect(unit.program).toEqual(['38=80000000', '18=4000000']);
    unit.stalled = false;
    driver.release();
    expect(pages.livePages).toBe(0);
  });

  it('while it is taken down: its tables stay allocated', () => {
    const { driver, pages, unit } = upRig(FULL);
    unit.alive = false;
    expect(() => driver.release()).toThrow(errno('ETIMEDOUT'));
    expect(pages.livePages).toBeGreaterThan(0);
    unit.alive = true;
    driver.release();
    expect(pages.livePages).toBe(0);
  });
});
