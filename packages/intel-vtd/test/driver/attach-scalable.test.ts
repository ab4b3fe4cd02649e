import { ALLOC, PROT } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { device, FIRST_STAGE, FULL, type Rig, upRig } from './scripted-unit.ts';

/** Four quadwords of a scalable-mode context entry. */
function context(rig: Rig, sid: number): bigint[] {
  const half = (sid & 0x80) === 0 ? 0n : 8n;
  const root = rig.quad((rig.unit.get64(0x20) & ~0xfffn) + BigInt((sid >> 8) * 16) + half);
  if ((root & 1n) === 0n) return [0n, 0n, 0n, 0n];
  const at = (root & ~0xfffn) + BigInt((sid & 0x7f) * 32);
  return [0n, 8n, 16n, 24n].map((offset) => rig.quad(at + offset));
}

/** The first three quadwords of a PASID entry, as hex; the rest must be zero. */
function pasidEntry(rig: Rig, sid: number, pasid: number): string[] {
  const directory = rig.quad((context(rig, sid)[0]! & ~0xfffn) + BigInt((pasid >> 6) * 8));
  if ((directory & 1n) === 0n) return [];
  const at = (directory & ~0xfffn) + BigInt((pasid & 63) * 64);
  const words = Array.from({ length: 8 }, (_, i) => rig.quad(at + BigInt(i * 8)));
  expect(words.slice(3)).toEqual([0n, 0n, 0n, 0n, 0n]);
  return words.slice(0, 3).map((word) => word.toString(16));
}

const table = (hex: string): string => (BigInt(`0x${hex}`) & ~0xfffn).toString(16);
const low = (hex: string): string => (BigInt(`0x${hex}`) & 0xfffn).toString(16);

describe('scalable-mode context entries', () => {
  it('stand from probe to release, with a one-page directory as in the captures', () => {
    const rig = upRig(FIRST_STAGE);
    const handle = rig.driver.probeDevice(device([0x10]));
    // C-scalable-first-stage/golden.json: ["0x6f59401","0x0","0x0","0x0"]
    expect(context(rig, 0x10).map((w) => (w & 0xfffn).toString(16))).toEqual(['401', '0', '0', '0']);
    expect(rig.descriptors()).toEqual([]);
    rig.driver.releaseDevice(handle);
    expect(context(rig, 0x10)).toEqual([0n, 0n, 0n, 0n]);
    expect(rig.descriptors()).toEqual(['1000000031:0']);
  });

  it('DTE with ATS (0x405 in the capture), PASIDE with PASIDs, PDTS by their width', () => {
    const bits = (more: { pasidBits?: number; ats?: boolean }) => {
      const rig = upRig(FULL);
      rig.driver.probeDevice(device([0x280], more));
      return context(rig, 0x280)[0]! & 0xfffn;
    };
    expect(bits({ ats: true })).toBe(0x405n);
    expect(bits({ pasidBits: 8 })).toBe(0x409n);
    expect(bits({ pasidBits: 16 })).toBe(0x609n);
    expect(bits({ pasidBits: 20 })).toBe(0xe09n);
  });

  it('both halves of a bus, and every id of a device', () => {
    const rig = upRig(FULL);
    rig.driver.probeDevice(device([0x3ff, 0x300, 0x17f]));
    expect(context(rig, 0x3ff)).toEqual(context(rig, 0x300));
    expect(context(rig, 0x17f)).toEqual(context(rig, 0x300));
    expect(context(rig, 0x380)[0]).toBe(0n);
  });

  it('caching mode: the absent entry is forgotten under domain-id 0', () => {
    const rig = upRig({ ...FULL, cap: FULL.cap | (1n << 7n) });
    rig.driver.probeDevice(device([0x10]));
    expect(rig.descriptors()).toEqual(['1000000031:0', '22:0']);
  });
});

describe('PASID entries', () => {
  it('first stage: P, AW=2, PGTT=001; domain-id; table pointer', () => {
    const rig = upRig(FIRST_STAGE);
    const handle = rig.driver.probeDevice(device([0x10]));
    const domain = rig.driver.allocPaging(handle, 0, null);
    domain.attach(handle, rig.driver.blocked);
    const [qw0, qw1, qw2] = pasidEntry(rig, 0x10, 0);
    // As in the capture: kernels write AW although a first stage ignores it, and QEMU does not ignore it.
    expect([qw0, qw1, low(qw2!)]).toEqual(['49', '2', '0']);
    expect(domain.geometry.last).toBe(0x7fff_ffff_ffffn);
    expect(rig.descriptors()).toEqual([]);
  });

  it('first stage of 5 levels on a snooped walk: FSPM=1, PWSNP', () => {
    const rig = upRig(FULL);
    const handle = rig.driver.probeDevice(device([0x10]));
    const domain = rig.driver.allocPaging(handle, 0, null);
    domain.attach(handle, rig.driver.blocked);
    const [qw0, qw1, qw2] = pasidEntry(rig, 0x10, 0);
    expect([qw0, qw1, low(qw2!)]).toEqual(['4d', '800002', '4']);
    expect(domain.geometry.last).toBe((1n << 56n) - 1n);
    expect(domain.pageSizes).toBe(0x4020_1000n);
  });

  it('second stage: AW=3 (5 levels), PGTT=010', () => {
    const rig = upRig(FULL);
    const handle = rig.driver.probeDevice(device([0x10]));
    const parent = rig.driver.allocPaging(handle, ALLOC.NEST_PARENT, null);
    parent.attach(handle, rig.driver.blocked);
    const [qw0, qw1, qw2] = pasidEntry(rig, 0x10, 0);
    expect([low(qw0!), qw1, qw2]).toEqual(['8d', '800002', '0']);
  });

  it('pass-through: AW=3 (5 levels), PGTT=100, domain-id 1', () => {
    const rig = upRig(FULL);
    const handle = rig.driver.probeDevice(device([0x10], { pasidBits: 20 }));
    rig.driver.identity.attach(handle, rig.driver.blocked);
    rig.driver.identity.attachPasid!(handle, 5, rig.driver.blocked);
    expect(pasidEntry(rig, 0x10, 0)).toEqual(['10d', '800001', '0']);
    expect(pasidEntry(rig, 0x10, 5)).toEqual(['10d', '800001', '0']);
  });

  it('removal of a first-stage entry: PC and PIOTLB by PASID under the old domain-id, then the entry is zero', () => {
    const rig = upRig(FULL);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10], { pasidBits: 20, ats: true }));
    const domain = driver.allocPaging(handle, ALLOC.PASID, null);
    domain.attach(handle, driver.blocked);
    domain.attachPasid!(handle, 0x12345, driver.blocked);
    driver.blocked.attachPasid!(handle, 0x12345, domain);
    expect(rig.descriptors()).toEqual(['1234500020017:0', '1234500020026:0', '1234500100008:7ffffffffffff800']);
    driver.blocked.attach(handle, domain);
    expect(rig.descriptors()).toEqual(['20017:0', '20026:0', '1000000003:7ffffffffffff001']);
    expect(pasidEntry(rig, 0x10, 0x12345)).toEqual(['0', '0', '0']);
  });

  it('removal of a second-stage entry: PC by PASID, IOTLB by domain', () => {
    const rig = upRig(FULL);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    const domain = driver.allocPaging(handle, ALLOC.DIRTY_TRACKING, null);
    domain.attach(handle, driver.blocked);
    driver.blocked.attach(handle, domain);
    // FULL has neither DWD nor DRD: 22h, not e2h
    expect(rig.descriptors()).toEqual(['20017:0', '20022:0']);
  });

  it('caching mode: the absent entry is forgotten under the new domain-id', () => {
    const rig = upRig({ ...FULL, cap: FULL.cap | (1n << 7n) });
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    rig.descriptors();
    driver.allocPaging(handle, 0, null).attach(handle, driver.blocked);
    expect(rig.descriptors()).toEqual(['20017:0', '20026:0']);
  });

  it('PASIDs of one domain share its id and its table', () => {
    const rig = upRig(FULL);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10], { pasidBits: 20 }));
    expect(handle.maxPasids).toBe(1 << 20);
    const domain = driver.allocPaging(handle, 0, null);
    for (const pasid of [1, 63, 64, 0xfffff]) domain.attachPasid!(handle, pasid, driver.blocked);
    const entries = [1, 63, 64, 0xfffff].map((pasid) => pasidEntry(rig, 0x10, pasid));
    expect(new Set(entries.map((e) => e.join())).size).toBe(1);
    expect(table(entries[0]![2]!)).not.toBe('0');
    expect(pasidEntry(rig, 0x10, 0)[0] ?? '0').toBe('0');
  });

  it('PASIDs a unit or device lacks', () => {
    const without = upRig(FIRST_STAGE);
    const plain = without.driver.probeDevice(device([0x10], { pasidBits: 20 }));
    const domain = without.driver.allocPaging(plain, 0, null);
    expect(plain.maxPasids).toBe(0);
    expect(() => domain.attachPasid!(plain, 1, without.driver.blocked)).toThrow(
      expect.objectContaining({ errno: 'EOPNOTSUPP' }),
    );
    const { driver } = upRig(FULL);
    const narrow = driver.probeDevice(device([0x10], { pasidBits: 4 }));
    const other = driver.allocPaging(narrow, 0, null);
    expect(() => other.attachPasid!(narrow, 16, driver.blocked)).toThrow(expect.objectContaining({ errno: 'EINVAL' }));
    expect(() => driver.blocked.attachPasid!(narrow, 1, driver.blocked)).not.toThrow();
  });
});

describe('write logging and snooping change live entries', () => {
  it('SSADE goes on and off in every entry, with PC, IOTLB by domain and the device TLB', () => {
    const rig = upRig(FULL);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10], { ats: true }));
    const domain = driver.allocPaging(handle, ALLOC.DIRTY_TRACKING, null);
    domain.attach(handle, driver.blocked);
    domain.setDirtyTracking!(true);
    expect(low(pasidEntry(rig, 0x10, 0)[0]!)).toBe('28d');
    expect(rig.descriptors()).toEqual(['20017:0', '20022:0', '1000000003:7ffffffffffff001']);
    domain.setDirtyTracking!(true);
    expect(rig.descriptors()).toEqual([]);
    const late = driver.probeDevice(device([0x20]));
    domain.attach(late, driver.blocked);
    expect(low(pasidEntry(rig, 0x20, 0)[0]!)).toBe('28d');
    domain.setDirtyTracking!(false);
    expect([0x10, 0x20].map((sid) => low(pasidEntry(rig, sid, 0)[0]!))).toEqual(['8d', '8d']);
  });

  it('a failure in the middle turns everything back', () => {
    const rig = upRig(FULL);
    const { driver, unit } = rig;
    const handles = [1, 2, 3].map((sid) => driver.probeDevice(device([sid])));
    const domain = driver.allocPaging(handles[0]!, ALLOC.DIRTY_TRACKING, null);
    for (const handle of handles) domain.attach(handle, driver.blocked);
    let left = 2;
    unit.refuse = ([lo]) => ((lo! & 0xfn) === 7n && --left === 0 ? 4 : 0);
    expect(() => domain.setDirtyTracking!(true)).toThrow(expect.objectContaining({ errno: 'EINVAL' }));
    expect([1, 2, 3].map((sid) => low(pasidEntry(rig, sid, 0)[0]!))).toEqual(['8d', '8d', '8d']);
  });

  it('dirty leaves are reported and cleaned', () => {
    const rig = upRig(FULL);
    const { driver, memory } = rig;
    const handle = driver.probeDevice(device([0x10]));
    const domain = driver.allocPaging(handle, ALLOC.DIRTY_TRACKING, null);
    domain.mapPages(0x20_0000n, 0x40_0000n, 0x20_0000n, 1, PROT.READ | PROT.WRITE);
    domain.mapPages(0x5000n, 0x9000n, 0x1000n, 2, PROT.READ | PROT.WRITE);
    const leaf = findLeaf(rig, 0x40_0083n);
    memory.writeBytes(leaf, Uint8Array.of(0x83, 0x03));
    const seen: string[] = [];
    const report = (iova: bigint, size: bigint) => seen.push(`${iova.toString(16)}+${size.toString(16)}`);
    domain.readAndClearDirty!(0n, 0x40_0000n, true, report);
    domain.readAndClearDirty!(0x30_0000n, 0x1000n, false, report);
    domain.readAndClearDirty!(0n, 0x40_0000n, false, report);
    expect(seen).toEqual(['200000+200000', '200000+200000']);
    expect(rig.quad(leaf) & 0xffffn).toBe(0x0183n); // A stays, D is gone
  });

  it('enforced coherency: PGSNP in first-stage entries, SNP in second-stage leaves', () => {
    const rig = upRig(FULL);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10], { pasidBits: 8 }));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    expect(domain.enforceCacheCoherency!()).toBe(true);
    expect(rig.descriptors()).toEqual(['20017:0', '20026:0']);
    domain.attachPasid!(handle, 9, driver.blocked);
    expect([0, 9].map((pasid) => pasidEntry(rig, 0x10, pasid)[1])).toEqual(['1800002', '1800002']);
    const second = driver.allocPaging(handle, ALLOC.NEST_PARENT, null);
    expect(second.enforceCacheCoherency!()).toBe(true);
    second.mapPages(0x5000n, 0x9000n, 0x1000n, 1, PROT.READ | PROT.WRITE);
    expect(findLeaf(rig, 0x9803n)).not.toBe(0n);
    const without = upRig(FIRST_STAGE);
    const other = without.driver.probeDevice(device([0x10]));
    expect(without.driver.allocPaging(other, 0, null).enforceCacheCoherency!()).toBe(false);
  });
});

/** Address of the quadword `value` among the pages the driver allocated. */
function findLeaf(rig: Rig, value: bigint): bigint {
  for (let at = 0x4000_0000n; at < 0x4004_0000n; at += 8n) if (rig.quad(at) === value) return at;
  return 0n;
}
