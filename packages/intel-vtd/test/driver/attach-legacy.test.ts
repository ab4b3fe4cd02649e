import { PROT } from '@iommukit/core';
import { describe, expect, it } from 'vitest';
import { device, LEGACY, type Rig, upRig } from './scripted-unit.ts';

const CM = { ...LEGACY, cap: LEGACY.cap | (1n << 7n) };
const RWBF = { ...LEGACY, cap: LEGACY.cap | (1n << 4n) };

/** The two quadwords of a legacy context entry, as hex; null when the root entry is not present. */
function entry(rig: Rig, sid: number): string[] | null {
  const root = rig.quad(rig.unit.get64(0x20) + BigInt((sid >> 8) * 16));
  if ((root & 1n) === 0n) return null;
  const at = (root & ~0xfffn) + BigInt((sid & 0xff) * 16);
  return [rig.quad(at).toString(16), rig.quad(at + 8n).toString(16)];
}

describe('legacy context entries', () => {
  it('a paging domain: table pointer and P, then domain-id and AW as in the captures', () => {
    const rig = upRig(LEGACY);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    expect(entry(rig, 0x10)).toBeNull();
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    const [lo, hi] = entry(rig, 0x10)!;
    // A-legacy-strict/golden.json: the first domain of the unit is ["0x7424001","0x202"]
    expect(hi).toBe('202');
    expect(Number.parseInt(lo!, 16) & 0xfff).toBe(1);
    expect(rig.descriptors()).toEqual([]);
    expect(rig.unit.program).toEqual([]);
  });

  it('all ids of a device, one domain-id', () => {
    const rig = upRig(LEGACY);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x308, 0x300, 0x200]));
    driver.allocPaging(handle, 0, null).attach(handle, driver.blocked);
    expect(entry(rig, 0x308)).toEqual(entry(rig, 0x300));
    expect(entry(rig, 0x200)).toEqual(entry(rig, 0x300));
    driver.blocked.attach(handle, driver.blocked);
    // per id: context cache by device and old domain-id; then the IOTLB of the domain once
    expect(rig.descriptors()).toEqual(['30800020031:0', '30000020031:0', '20000020031:0', '200e2:0']);
    expect(entry(rig, 0x308)).toEqual(['0', '0']);
  });

  it('pass-through names the widest table and domain-id 1', () => {
    const rig = upRig(LEGACY);
    const handle = rig.driver.probeDevice(device([0x10]));
    rig.driver.identity.attach(handle, rig.driver.blocked);
    expect(entry(rig, 0x10)).toEqual(['9', '102']);
  });

  it('ATS: TT=01, and the device TLB goes last', () => {
    const rig = upRig({ ...LEGACY, ecap: LEGACY.ecap | 4n });
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10], { ats: true }));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    expect(Number.parseInt(entry(rig, 0x10)![0]!, 16) & 0xfff).toBe(5);
    driver.blocked.attach(handle, domain);
    expect(rig.descriptors()).toEqual(['1000020031:0', '200e2:0', '1000000003:7ffffffffffff001']);
  });

  it('replacing removes the old entry under its own domain-id before the new one stands', () => {
    const rig = upRig(LEGACY);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    const [a, b] = [driver.allocPaging(handle, 0, null), driver.allocPaging(handle, 0, null)];
    a.attach(handle, driver.blocked);
    b.attach(handle, a);
    expect(rig.descriptors()).toEqual(['1000020031:0', '200e2:0']);
    expect(entry(rig, 0x10)![1]).toBe('302');
    a.attach(handle, b);
    expect(entry(rig, 0x10)![1]).toBe('202'); // given back by the replace, taken again
  });

  it('caching mode: the absent entry is forgotten too, under domain-id 0', () => {
    const rig = upRig(CM);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    expect(rig.descriptors()).toEqual(['1000000031:0', '200e2:0']);
    domain.mapPages(0x5000n, 0x9000n, 0x1000n, 3, PROT.READ);
    domain.syncMap(0x5000n, 0x3000n);
    // pages 5..7 lie in the block of 4 pages at 4; the hint is set, no table went away
    expect(rig.descriptors()).toEqual(['200f2:4042']);
  });

  it('write buffers are flushed by command where nothing is invalidated', () => {
    const rig = upRig(RWBF);
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    expect(rig.unit.program).toEqual(['18=8c000000']);
    domain.mapPages(0x5000n, 0x9000n, 0x1000n, 1, PROT.READ);
    domain.syncMap(0x5000n, 0x1000n);
    expect(rig.unit.program).toEqual(['18=8c000000', '18=8c000000']);
    expect(rig.descriptors()).toEqual([]);
  });

  it('by registers where there is no queue', () => {
    const rig = upRig({ ...LEGACY, ecap: LEGACY.ecap & ~2n });
    const { driver } = rig;
    const handle = driver.probeDevice(device([0x10]));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    domain.mapPages(0x5000n, 0x9000n, 0x1000n, 1, PROT.READ);
    domain.unmapPages(0x5000n, 0x1000n, { start: 1n, last: 0n, pageSize: 0n, freed: [] });
    domain.syncUnmap({ start: 0x5000n, last: 0x5fffn, pageSize: 0x1000n, freed: [] });
    driver.blocked.attach(handle, domain);
    expect(rig.unit.program).toEqual([
      'f0=5040', // IVA: address, IH
      'f8=b003000200000000', // IVT, page, DR, DW, DID 2
      '28=e000000000100002', // ICC, device, SID 10h, DID 2
      'f8=a003000200000000',
    ]);
  });
});

describe('domain-ids', () => {
  /** CAP.ND = 0: sixteen domain-ids, fourteen of them for domains. */
  const FEW = { ...LEGACY, cap: LEGACY.cap & ~7n };

  it('run out with ENOSPC, and the device stays where it was', () => {
    const rig = upRig(FEW);
    const { driver } = rig;
    const handles = Array.from({ length: 15 }, (_, i) => driver.probeDevice(device([i])));
    const domains = handles.map((handle) => driver.allocPaging(handle, 0, null));
    for (let i = 0; i < 14; i++) domains[i]!.attach(handles[i]!, driver.blocked);
    expect(entry(rig, 13)![1]).toBe('f02');
    const before = entry(rig, 0);
    rig.unit.fetched.length = 0;
    expect(() => domains[14]!.attach(handles[0]!, domains[0]!)).toThrow(expect.objectContaining({ errno: 'ENOSPC' }));
    expect(entry(rig, 0)).toEqual(before);
    expect(rig.unit.fetched).toEqual([]);
    driver.blocked.attach(handles[3]!, domains[3]!);
    domains[14]!.attach(handles[14]!, driver.blocked);
    expect(entry(rig, 14)![1]).toBe('502');
  });

  it('one domain on two devices keeps its id until the last leaves', () => {
    const rig = upRig(LEGACY);
    const { driver } = rig;
    const [a, b] = [driver.probeDevice(device([1])), driver.probeDevice(device([2]))];
    const domain = driver.allocPaging(a, 0, null);
    domain.attach(a, driver.blocked);
    domain.attach(b, driver.blocked);
    expect(entry(rig, 1)).toEqual(entry(rig, 2));
    driver.blocked.attach(a, domain);
    const other = driver.allocPaging(a, 0, null);
    other.attach(a, driver.blocked);
    expect(entry(rig, 1)![1]).toBe('302');
  });
});
