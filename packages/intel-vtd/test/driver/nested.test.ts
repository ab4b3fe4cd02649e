import { ALLOC, type DeviceHandle, type Gather, type NativeData, type NestedDomainOps, PROT } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vtdGuestKit } from '../../src/guest/guest-kit.ts';
import { device, FIRST_STAGE, FULL, LEGACY, type Rig, upRig } from './scripted-unit.ts';

const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);

/** `struct iommu_hwpt_vtd_s1`, by its offsets. */
function data(table: bigint, { flags = 0n, width = 48, reserved = 0, type = 1, length = 24 } = {}): NativeData {
  const bytes = new Uint8Array(Math.max(length, 24));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, flags, true);
  view.setBigUint64(8, table, true);
  view.setUint32(16, width, true);
  view.setUint32(20, reserved, true);
  return { type, bytes: bytes.slice(0, length) };
}

function parentRig(registers = FULL, more = {}) {
  const rig = upRig(registers);
  const handle = rig.driver.probeDevice(device([0x10], { pasidBits: 8, ...more }));
  const parent = rig.driver.allocPaging(handle, ALLOC.NEST_PARENT, null);
  const nested = (value: NativeData, flags = 0): NestedDomainOps =>
    rig.driver.allocNested(handle, parent, flags, value);
  return { rig, handle, parent, nested };
}

/** The first three quadwords of PASID entry 0 of device 10h. */
function entry(rig: Rig): bigint[] {
  const follow = (pa: bigint) => rig.quad(pa) & ~0xfffn;
  const context = follow(rig.unit.get64(0x20) & ~0xfffn) + 0x10n * 32n;
  const at = follow(follow(context));
  return [0n, 8n, 16n].map((offset) => rig.quad(at + offset));
}

const errno = (name: string) => expect.objectContaining({ errno: name });
const gather = (start: bigint, last: bigint): Gather => ({ start, last, pageSize: 0x1000n, freed: [] });

describe('nested PASID entries', () => {
  it('PGTT=011, the parent in qw0, a domain-id of its own, the guest table in qw2', () => {
    const { rig, handle, parent, nested } = parentRig();
    parent.attach(handle, rig.driver.blocked);
    const [p0] = entry(rig);
    nested(data(0x1234_5000n)).attach(handle, parent);
    const [qw0, qw1, qw2] = entry(rig);
    expect(qw0).toBe((p0! & ~0xfffn) | 0xcdn);
    expect([qw1, qw2]).toEqual([0x80_0003n, 0x1234_5000n]);
  });

  it('SRE bit 128, FSPM 131:130, WPE 132 only with SRE, EAFE 135', () => {
    const qw2 = (flags: bigint, width: number) => {
      const { rig, handle, nested } = parentRig();
      nested(data(0x1000n, { flags, width })).attach(handle, rig.driver.blocked);
      return entry(rig)[2];
    };
    expect(qw2(1n, 48)).toBe(0x1001n);
    expect(qw2(5n, 57)).toBe(0x1015n);
    expect(qw2(4n, 48)).toBe(0x1000n);
    expect(qw2(2n, 48)).toBe(0x1080n);
  });

  it('follows its parent: SSADE when the parent logs, PGSNP when it snoops', () => {
    const { rig, handle, nested } = parentRig();
    const parent = rig.driver.allocPaging(handle, ALLOC.NEST_PARENT | ALLOC.DIRTY_TRACKING, null);
    const child = rig.driver.allocNested(handle, parent, 0, data(0x1000n));
    child.attach(handle, rig.driver.blocked);
    rig.descriptors();
    parent.setDirtyTracking!(true);
    expect(entry(rig)[0]! & 0xfffn).toBe(0x2cdn);
    expect(rig.descriptors()).toEqual(['20017:0', '20022:0']);
    parent.enforceCacheCoherency!();
    nested(data(0x1000n)).attach(handle, child);
    expect(entry(rig)[1]).toBe(0x80_0003n); // another parent, which does not snoop
    rig.driver.allocNested(handle, parent, 0, data(0x1000n)).attach(handle, rig.driver.blocked);
    expect(entry(rig).map((w) => w & 0x1ff_ffffn)[1]! >> 16n).toBe(0x180n);
  });
});

describe('what cannot be nested', () => {
  const { rig, handle, parent, nested } = parentRig();
  it.each([
    ['another type', data(0x1000n, { type: 2 }), 'EOPNOTSUPP'],
    ['no type', data(0x1000n, { type: 0 }), 'EOPNOTSUPP'],
    ['too short', data(0x1000n, { length: 20 }), 'EINVAL'],
    ['too long', data(0x1000n, { length: 32 }), 'EINVAL'],
    ['empty', data(0x1000n, { length: 0 }), 'EINVAL'],
    ['an unknown flag', data(0x1000n, { flags: 8n }), 'EOPNOTSUPP'],
    ['a flag in the upper half', data(0x1000n, { flags: 1n << 63n }), 'EOPNOTSUPP'],
    ['reserved', data(0x1000n, { reserved: 1 }), 'EOPNOTSUPP'],
    ['misaligned: it would set SRE', data(0x1001n), 'EINVAL'],
    ['misaligned: it would set a reserved bit', data(0x1800n), 'EINVAL'],
    ['a table the entry cannot hold below HAW', data(1n << 46n), 'EINVAL'],
  ])('at allocation: %s', (_title, value, name) => {
    expect(() => nested(value)).toThrow(errno(name));
  });

  it('at allocation: flags, and a parent that is none', () => {
    expect(() => nested(data(0x1000n), ALLOC.NEST_PARENT)).toThrow(errno('EOPNOTSUPP'));
    expect(() => nested(data(0x1000n), ALLOC.FAULT)).toThrow(errno('EOPNOTSUPP'));
    expect(() => nested(data(0x1000n), ALLOC.PASID)).not.toThrow();
    for (const flags of [0, ALLOC.DIRTY_TRACKING]) {
      const other = rig.driver.allocPaging(handle, flags, null);
      expect(() => rig.driver.allocNested(handle, other, 0, data(0x1000n))).toThrow(errno('EINVAL'));
    }
  });

  it.each([
    ['a width that is none', FULL, { width: 39 }],
    ['57 bits without FS5LP', { ...FULL, cap: FULL.cap & ~(1n << 60n) }, { width: 57 }],
    ['SRE without SRS', { ...FULL, ecap: FULL.ecap & ~(1n << 31n) }, { flags: 1n }],
    ['EAFE without EAFS', { ...FULL, ecap: FULL.ecap & ~(1n << 34n) }, { flags: 2n }],
  ])('when attaching, with nothing changed: %s', (_title, registers, more) => {
    const one = parentRig(registers);
    one.parent.attach(one.handle, one.rig.driver.blocked);
    const before = entry(one.rig);
    one.rig.descriptors();
    const domain = one.nested(data(0x1000n, more));
    expect(() => domain.attach(one.handle, one.parent)).toThrow(errno('EINVAL'));
    expect(() => domain.attachPasid!(one.handle, 3, one.rig.driver.blocked)).toThrow(errno('EINVAL'));
    expect(entry(one.rig)).toEqual(before);
    expect(one.rig.unit.fetched).toEqual([]);
  });

  it('a unit without nesting', () => {
    for (const registers of [LEGACY, FIRST_STAGE]) {
      const { driver } = upRig(registers);
      const device1 = driver.probeDevice(device([1]));
      expect(() => driver.allocPaging(device1, ALLOC.NEST_PARENT, null)).toThrow(errno('EOPNOTSUPP'));
    }
  });

  it('read-only pages in a parent (erratum 772415)', () => {
    const result = parent.mapPages(0x1000n, 0x1000n, 0x1000n, 1, PROT.READ);
    expect(result).toEqual({ mapped: 0, error: errno('EINVAL') });
  });
});

describe('invalidation of a nested domain', () => {
  function attachedNested(more = {}): { rig: Rig; child: NestedDomainOps; handle: DeviceHandle } {
    const { rig, handle, nested } = parentRig(FULL, more);
    const child = nested(data(0x1000n));
    child.attach(handle, rig.driver.blocked);
    rig.descriptors();
    return { rig, child, handle };
  }

  /** Entries `[addr, npages, flags]` as `struct iommu_hwpt_vtd_s1_invalidate`. */
  function request(...entries: (readonly [bigint, bigint, number?, number?])[]) {
    const bytes = new Uint8Array(24 * entries.length);
    const view = new DataView(bytes.buffer);
    entries.forEach(([address, pages, flags = 0, reserved = 0], i) => {
      view.setBigUint64(i * 24, address, true);
      view.setBigUint64(i * 24 + 8, pages, true);
      view.setUint32(i * 24 + 16, flags, true);
      view.setUint32(i * 24 + 20, reserved, true);
    });
    return { type: 0, entryLength: 24, entryCount: entries.length, bytes };
  }

  it('becomes PASID-selective descriptors under its own id, then the device TLB', () => {
    const { rig, child } = attachedNested({ ats: true });
    const all = (1n << 64n) - 1n;
    const result = child.invalidate!(request([0x5000n, 1n, 1], [0x4000n, 4n], [0n, all]));
    expect(result).toEqual({ done: 3, error: null });
    expect(rig.descriptors()).toEqual([
      '20036:5040',
      '1000000003:5000',
      '20036:4002',
      '1000000003:5001',
      '20026:0',
      '1000000003:7ffffffffffff001',
    ]);
  });

  it('reaches every PASID it is attached to', () => {
    const { rig, child, handle } = attachedNested();
    child.attachPasid!(handle, 9, rig.driver.blocked);
    rig.descriptors();
    child.invalidate!(request([0x5000n, 1n]));
    expect(rig.descriptors()).toEqual(['20036:5000', '900020036:5000']);
  });

  it.each([
    ['unknown flag', [0x2000n, 1n, 2], 'EOPNOTSUPP'],
    ['reserved', [0x2000n, 1n, 0, 1], 'EOPNOTSUPP'],
    ['misaligned', [0x2001n, 1n], 'EINVAL'],
    ['no pages', [0n, 0n], 'EINVAL'],
    ['everything from elsewhere', [0x1000n, (1n << 64n) - 1n], 'EINVAL'],
    ['around the end', [0x1000n, 1n << 52n], 'EINVAL'],
  ] as const)('stops at the first bad entry: %s', (_title, bad, name) => {
    const { rig, child } = attachedNested();
    const result = child.invalidate!(request([0x1000n, 1n], bad, [0x3000n, 1n]));
    expect(result).toEqual({ done: 1, error: errno(name) });
    expect(rig.descriptors()).toEqual(['20036:1000']);
  });

  it('tests the type even of an empty batch; an empty batch of its own type is fine', () => {
    const { child } = attachedNested();
    const empty = { entryLength: 0, entryCount: 0, bytes: new Uint8Array(0) };
    expect(child.invalidate!({ type: 0, ...empty })).toEqual({ done: 0, error: null });
    expect(child.invalidate!({ type: 1, ...empty })).toEqual({ done: 0, error: errno('EINVAL') });
  });

  it('an unmap in the parent goes to the parent and to every child, with the whole device TLB', () => {
    const { rig, handle, parent, nested } = parentRig(FULL, { ats: true });
    const child = nested(data(0x1000n));
    parent.attachPasid!(handle, 7, rig.driver.blocked);
    child.attach(handle, rig.driver.blocked);
    rig.descriptors();
    parent.syncUnmap(gather(0x5000n, 0x5fffn));
    const everything = '7ffffffffffff001';
    expect(rig.descriptors()).toEqual(['20032:5040', '30032:5040', '700100008:5000', `1000000003:${everything}`]);
    rig.driver.blocked.attach(handle, child);
    rig.descriptors();
    parent.syncUnmap(gather(0x5000n, 0x5fffn));
    expect(rig.descriptors()).toEqual(['20032:5040', '700100008:5000']);
  });

  it('never throws and never does a bad entry, whatever the bytes', () => {
    const { rig, child } = attachedNested();
    const any = fc.record({
      type: fc.constantFrom(0, 0, 0, 1, 7),
      entryLength: fc.constantFrom(24, 24, 24, 16, 32, 1),
      bytes: fc.uint8Array({ minLength: 0, maxLength: 120 }),
    });
    fc.assert(
      fc.property(any, ({ type, entryLength, bytes }) => {
        const entryCount = Math.floor(bytes.length / entryLength);
        const cut = bytes.slice(0, entryCount * entryLength);
        const { done, error } = child.invalidate!({ type, entryLength, entryCount, bytes: cut });
        expect(error === null ? done === entryCount : done < Math.max(entryCount, 1)).toBe(true);
        if (error) expect(['EINVAL', 'EOPNOTSUPP']).toContain((error as { errno?: string }).errno);
        expect(rig.descriptors().length).toBe(done);
      }),
      { numRuns: RUNS },
    );
  });

  it('nested data is refused with an errno or gives an entry without a reserved bit, whatever the bytes', () => {
    const { rig, handle, nested } = parentRig();
    const word = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.bigInt({ min: 0n, max: 15n }));
    const pointer = fc.oneof(
      word,
      fc.bigInt({ min: 0n, max: (1n << 36n) - 1n }).map((page) => page << 12n),
    );
    const width = fc.constantFrom(48, 57, 0, 39, 64);
    fc.assert(
      fc.property(word, pointer, width, fc.constantFrom(0, 0, 1), (flags, table, bits, reserved) => {
        let child: NestedDomainOps;
        try {
          child = nested(data(table, { flags, width: bits, reserved }));
          child.attach(handle, rig.driver.blocked);
        } catch (error) {
          expect(['EINVAL', 'EOPNOTSUPP']).toContain((error as { errno?: string }).errno);
          return;
        }
        const [qw0, , qw2] = entry(rig);
        expect(qw0! & 0xfffn).toBe(0xcdn);
        expect(qw2! & 0xf6an).toBe(0n);
        expect(qw2! >> 46n).toBe(0n);
        rig.driver.blocked.attach(handle, child);
        rig.unit.fetched.length = 0;
        rig.unit.writes.length = 0;
      }),
      { numRuns: RUNS },
    );
  });
});

describe('the guest kit', () => {
  it('names bad inputs with the errno this driver gives', () => {
    const { rig, handle, nested } = parentRig();
    for (const { value, errno: name } of vtdGuestKit.badNestedData()) expect(() => nested(value)).toThrow(errno(name));
    const child = nested(data(0x1000n));
    child.attach(handle, rig.driver.blocked);
    for (const { value, errno: name } of vtdGuestKit.badInvalidations(0n))
      expect(child.invalidate!(value)).toEqual({ done: 0, error: errno(name) });
  });
});
