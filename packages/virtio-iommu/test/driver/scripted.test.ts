import { hexToBytes } from '@iommukit/bits';
import { ALLOC, newGather, PROT } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { attach, detach, map, probe, unmap } from '../hardware/rig.ts';
import {
  answering,
  configSpace,
  device,
  errnoOf,
  FEATURES,
  live,
  type Script,
  ScriptedDevice,
} from './scripted-device.ts';

const RW = PROT.READ | PROT.WRITE;

describe('bringing a device up (virtio 1.3 §3.1.1)', () => {
  test('in the order the manual prescribes', () => {
    const { writes } = live();
    const named = writes.filter(([at]) => [0x70, 0x20, 0x44].includes(at)).map(([at, value]) => [at, value]);
    expect(named).toEqual([
      [0x70, 0],
      [0x70, 1],
      [0x70, 3],
      [0x20, 0x77],
      [0x20, 1],
      [0x70, 0xb],
      [0x44, 1],
      [0x44, 1],
      [0x70, 0xf],
    ]);
  });

  test('the legacy BYPASS is never accepted, and bypass is closed', () => {
    const config = configSpace();
    config[36] = 1;
    const { writes } = live({ features: FEATURES | 8n, config });
    expect(writes).toContainEqual([0x20, 0x77]);
    expect(config[36]).toBe(0);
  });

  test.each<[string, Script, string]>([
    ['another magic', { magic: 0 }, 'ENODEV'],
    ['another device type', { deviceId: 2 }, 'ENODEV'],
    ['a legacy device', { features: 0x77n }, 'ENODEV'],
    ['no MAP_UNMAP', { features: (1n << 32n) | 0x73n }, 'ENODEV'],
    ['a page_size_mask of 0', { config: configSpace({ mask: 0n }) }, 'ENODEV'],
    ['an input range without a whole page', { config: configSpace({ start: 1n, end: 0x1ffen }) }, 'ENODEV'],
    ['features it offered and refuses', { refusesFeatures: true }, 'ENODEV'],
    ['an absurd probe_size', { config: configSpace().fill(0xff, 32, 36) }, 'ENODEV'],
    ['no queue', { queueMax: 0 }, 'ENODEV'],
    ['a reset that never ends', { neverResets: true }, 'ETIMEDOUT'],
  ])('%s', (_title, script, errno) => {
    const hardware = new ScriptedDevice(script);
    if (script.neverResets) hardware.status = 0x3;
    expect(errnoOf(() => hardware.driver.probe())).toBe(errno);
    expect(hardware.pages.livePages).toBe(0);
    expect(hardware.handler).toBe(null);
    expect(hardware.status & 4).toBe(0);
  });

  test('queues get a power of two of entries', () => {
    const sizes = (queueMax: number) =>
      live({ queueMax }).writes.flatMap(([at, value]) => (at === 0x38 ? [value] : []));
    expect([sizes(16), sizes(13), sizes(1000)]).toEqual([
      [16, 16],
      [8, 8],
      [256, 256],
    ]);
  });

  test('every allocation may fail, and nothing is left behind', () => {
    for (let nth = 1; ; nth++) {
      const hardware = new ScriptedDevice();
      hardware.pages.failNth(nth);
      const errno = errnoOf(() => hardware.driver.probe());
      if (errno === 'none') return expect(nth).toBeGreaterThan(4);
      expect([errno, hardware.pages.livePages, hardware.status]).toEqual(['ENOMEM', 0, 0]);
    }
  });

  test('geometry is whole pages inside the input range', () => {
    const { driver } = live({ config: configSpace({ start: 0x800n, end: 0x5_07ffn }) });
    const { geometry } = driver.allocPaging(driver.probeDevice(device(8)), 0, null);
    expect(geometry).toEqual({ start: 0x1000n, last: 0x4_ffffn });
  });
});

describe('requests as bytes', () => {
  test('PROBE, ATTACH, MAP, UNMAP, DETACH, each once for each id that it takes', () => {
    const { driver, requests } = live();
    const handle = driver.probeDevice(device(0x18, 0x19));
    const domain = driver.allocPaging(handle, 0, null);
    domain.mapPages(0x10000n, 0x8000_0000n, 0x1000n, 16, RW);
    expect(requests).toEqual([probe(0x18), probe(0x19)]);
    domain.attach(handle, driver.blocked);
    domain.mapPages(0x40000n, 0x9000_0000n, 0x1000n, 2, PROT.READ | PROT.MMIO);
    domain.syncMap(0x40000n, 0x2000n);
    const gather = newGather();
    expect(domain.unmapPages(0x10000n, 0x10000n, gather)).toBe(0x10000n);
    domain.syncUnmap(gather);
    driver.blocked.attach(handle, domain);
    expect(requests.slice(2)).toEqual([
      attach(0, 0x18),
      map(0, 0x10000n, 0x1ffffn, 0x8000_0000n),
      attach(0, 0x19),
      map(0, 0x40000n, 0x41fffn, 0x9000_0000n, 5),
      unmap(0, 0x10000n, 0x1ffffn),
      detach(0, 0x18),
      detach(0, 0x19),
    ]);
    expect([gather.start, gather.last]).toEqual([0x10000n, 0x1ffffn]);
  });

  test('maps are batched: one kick for eight', () => {
    const { driver, writes, requests } = live({ queueMax: 16 });
    const handle = driver.probeDevice(device(8));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    const before = [writes.length, requests.length];
    for (let i = 0n; i < 8n; i++) domain.mapPages(i << 16n, 0n, 0x1000n, 1, RW);
    expect([writes.length, requests.length]).toEqual(before);
    domain.syncMap(0n, 8n << 16n);
    expect(writes.slice(before[0]).filter(([at]) => at === 0x50)).toHaveLength(1);
    expect(requests.slice(before[1])).toHaveLength(8);
  });

  test('identity is a bypass domain, or mapped 1:1 around the regions where there are none', () => {
    const withBypass = live();
    withBypass.driver.identity.attach(withBypass.driver.probeDevice(device(8)), withBypass.driver.blocked);
    expect(withBypass.requests.slice(1)).toEqual([attach(0, 8, 1)]);
    const region = [
      ...hexToBytes('0100140001000000' + '0008e0fe00000000' + 'fff7effe00000000'),
      ...new Array(44).fill(0),
    ];
    const without = live({ features: FEATURES & ~0x40n, ...answering(5, () => ({ bytes: region })) });
    without.driver.identity.attach(without.driver.probeDevice(device(8)), without.driver.blocked);
    expect(without.requests.slice(1)).toEqual([
      attach(0, 8),
      map(0, 0n, 0xfedf_ffffn, 0n),
      map(0, 0xfef0_0000n, 0xffff_ffff_ffffn, 0xfef0_0000n),
    ]);
  });

  test('where detached endpoints pass and the door cannot be closed, blocking is an empty domain', () => {
    const config = configSpace();
    config[36] = 1;
    const { driver, requests } = live({ config, bypassSticks: true });
    const handle = driver.probeDevice(device(8));
    expect(requests).toEqual([probe(8), attach(0, 8)]);
    driver.identity.attach(handle, driver.blocked);
    driver.blocked.attach(handle, driver.identity);
    expect(requests.slice(2)).toEqual([attach(1, 8, 1), attach(0, 8)]);
  });

  test('domain ids come from domain_range, run out with ENOSPC, and come back', () => {
    const { driver } = live({ config: configSpace({}, [7, 8]) });
    const handle = driver.probeDevice(device(8));
    const first = driver.allocPaging(handle, 0, null);
    driver.allocPaging(handle, 0, null);
    expect(errnoOf(() => driver.allocPaging(handle, 0, null))).toBe('ENOSPC');
    first.free();
    driver.allocPaging(handle, 0, null);
  });

  test('no flag and no user data is known', () => {
    const { driver } = live();
    const handle = driver.probeDevice(device(8));
    for (const flags of [...Object.values(ALLOC), 0x8000])
      expect(errnoOf(() => driver.allocPaging(handle, flags, null))).toBe('EOPNOTSUPP');
    expect(errnoOf(() => driver.allocPaging(handle, 0, { type: 1, bytes: new Uint8Array(8) }))).toBe('EOPNOTSUPP');
    expect([driver.hwInfo(handle, 0), errnoOf(() => driver.hwInfo(handle, 1))]).toEqual([null, 'EOPNOTSUPP']);
    expect([driver.capable(handle, 'cache-coherency'), driver.capable(handle, 'pasid')]).toEqual([true, false]);
  });
});
