import { hexToBytes } from '@iommukit/bits';
import { ALLOC, type FaultRecord, isIommuError, newGather, PROT } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FUZZ_TIMEOUT, RUNS } from '../fuzz.ts';
import { attach, detach, map, probe, S, unmap } from '../hardware/rig.ts';
import {
  type Answer,
  configSpace,
  defaultAnswer,
  device,
  FEATURES,
  OK,
  type Script,
  ScriptedDevice,
  status,
} from './scripted-device.ts';

const RW = PROT.READ | PROT.WRITE;

function errnoOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return 'none';
}

/** A script that gives its own answer to requests of one type (first byte), and is agreeable otherwise. */
const answering = (type: number, answer: (nth: number, hex: string) => Answer): Script => {
  let nth = 0;
  return { answer: (hex) => (Number.parseInt(hex.slice(0, 2), 16) === type ? answer(nth++, hex) : defaultAnswer(hex)) };
};

function live(script: Script = {}) {
  const hardware = new ScriptedDevice(script);
  hardware.driver.probe();
  return hardware;
}

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

describe('what a device may do wrong', () => {
  test.each([
    [S.IOERR, 'EIO'],
    [S.UNSUPP, 'EINVAL'],
    [S.DEVERR, 'EIO'],
    [S.INVAL, 'EINVAL'],
    [S.RANGE, 'EINVAL'],
    [S.NOENT, 'ENODEV'],
    [S.NOMEM, 'ENOMEM'],
    [99, 'EIO'],
  ])('ATTACH refused with %i is %s, and the old domain stays in force', (code, errno) => {
    const { driver, requests } = live(answering(1, (_nth, hex) => (hex === attach(1, 0x19) ? status(code) : OK)));
    const handle = driver.probeDevice(device(0x18, 0x19));
    const old = driver.allocPaging(handle, 0, null);
    const next = driver.allocPaging(handle, 0, null);
    old.mapPages(0n, 0n, 0x1000n, 1, RW);
    old.attach(handle, driver.blocked);
    const before = requests.length;
    expect(errnoOf(() => next.attach(handle, old))).toBe(errno);
    // 0x18 moved, 0x19 was refused, 0x18 goes back; the old domain never lost its last member, so nothing is replayed.
    expect(requests.slice(before)).toEqual([attach(1, 0x18), attach(1, 0x19), attach(0, 0x18)]);
  });

  test('a domain that vanished on the way is built again', () => {
    let refuse = true;
    const { driver, requests } = live(
      answering(3, (_nth, hex) => (hex.startsWith('0300000001') && refuse ? status(S.NOMEM) : OK)),
    );
    const handle = driver.probeDevice(device(0x18));
    const old = driver.allocPaging(handle, 0, null);
    const next = driver.allocPaging(handle, 0, null);
    old.mapPages(0n, 0n, 0x1000n, 1, RW);
    next.mapPages(0n, 0x1000n, 0x1000n, 1, RW);
    old.attach(handle, driver.blocked);
    const before = requests.length;
    expect(errnoOf(() => next.attach(handle, old))).toBe('ENOMEM');
    const [oldMap, newMap] = [map(0, 0n, 0xfffn, 0n), map(1, 0n, 0xfffn, 0x1000n)];
    expect(requests.slice(before)).toEqual([attach(1, 0x18), newMap, attach(0, 0x18), oldMap]);
    refuse = false;
    next.attach(handle, old);
    expect(requests.slice(-2)).toEqual([attach(1, 0x18), newMap]);
  });

  test.each<[string, Answer, string]>([
    ['FAULT', status(S.FAULT), 'ERANGE'],
    ['NOMEM', status(S.NOMEM), 'ENOMEM'],
    ['INVAL', status(S.INVAL), 'EINVAL'],
    ['length 0, as one hypervisor reports every failure', { bytes: [0, 0, 0, 0], used: 0 }, 'EIO'],
    ['a length beyond the buffer', { bytes: [0, 0, 0, 0], used: 5 }, 'EIO'],
  ])('MAP answered with %s is seen at the sync, and undone', (_title, answer, errno) => {
    const { driver, requests } = live(answering(3, (nth) => (nth === 1 ? answer : OK)));
    const handle = driver.probeDevice(device(0x18));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    for (let i = 0n; i < 3n; i++) domain.mapPages(i << 12n, 0n, 0x1000n, 1, RW);
    expect(errnoOf(() => domain.syncMap(0n, 0x3000n))).toBe(errno);
    expect(requests.at(-1)).toBe(unmap(0, 0n, 0x2fffn));
    expect([0n, 0x1000n, 0x2000n].map((iova) => domain.iovaToPhys(iova))).toEqual([null, null, null]);
  });

  test('an UNMAP that fails is told', () => {
    const { driver } = live(answering(4, () => status(S.DEVERR)));
    const handle = driver.probeDevice(device(0x18));
    const domain = driver.allocPaging(handle, 0, null);
    domain.attach(handle, driver.blocked);
    domain.mapPages(0n, 0n, 0x1000n, 1, RW);
    domain.syncMap(0n, 0x1000n);
    const gather = newGather();
    domain.unmapPages(0n, 0x1000n, gather);
    expect(errnoOf(() => domain.syncUnmap(gather))).toBe('EIO');
  });

  test('a device that never answers is ETIMEDOUT, in bounded time', () => {
    const hardware = live(answering(1, () => null));
    const handle = hardware.driver.probeDevice(device(0x18));
    const domain = hardware.driver.allocPaging(handle, 0, null);
    expect(errnoOf(() => domain.attach(handle, hardware.driver.blocked))).toBe('ETIMEDOUT');
    expect(hardware.relaxed).toBeLessThan(1_000_000);
  });

  test('a device that needs a reset is EIO, now and later', () => {
    const hardware: ScriptedDevice = live(
      answering(1, () => {
        hardware.status |= 0x40;
        return null;
      }),
    );
    const handle = hardware.driver.probeDevice(device(0x18));
    const domain = hardware.driver.allocPaging(handle, 0, null);
    expect(errnoOf(() => domain.attach(handle, hardware.driver.blocked))).toBe('EIO');
    expect(errnoOf(() => domain.attach(handle, hardware.driver.blocked))).toBe('EIO');
    hardware.driver.release();
    expect(hardware.pages.livePages).toBe(0);
  });

  test.each([1, 7, 1000, 0xffff_ffff])('a used id it never had (%i) is EIO', (id) => {
    const { driver } = live(answering(1, () => ({ bytes: [0, 0, 0, 0], id })));
    const handle = driver.probeDevice(device(0x18));
    expect(errnoOf(() => driver.identity.attach(handle, driver.blocked))).toBe('EIO');
  });

  test('an endpoint the device does not know is ENODEV; impossible ids are EINVAL', () => {
    const { driver, requests } = live(answering(5, () => ({ bytes: [...new Array(64).fill(0), S.NOENT, 0, 0, 0] })));
    expect(errnoOf(() => driver.probeDevice(device(0x18)))).toBe('ENODEV');
    for (const ids of [[], [-1], [0x1_0000_0000], [1.5]])
      expect(errnoOf(() => driver.probeDevice(device(...ids)))).toBe('EINVAL');
    expect(requests).toHaveLength(1);
  });

  test('nothing works before probe or after release', () => {
    const { driver } = new ScriptedDevice();
    expect(errnoOf(() => driver.probeDevice(device(1)))).toBe('ENODEV');
    driver.probe();
    driver.release();
    expect(errnoOf(() => driver.release())).toBe('ENODEV');
    expect(driver.capabilities.size).toBe(0);
  });
});

describe('fault reports', () => {
  const REPORT = hexToBytes('02000000' + '02010000' + '18000000' + '00000000' + '0050000000000000');

  function listening() {
    const hardware = live();
    const seen: FaultRecord[] = [];
    hardware.driver.onFault((fault) => seen.push(fault));
    const handle = hardware.driver.probeDevice(device(0x18));
    const domain = hardware.driver.allocPaging(handle, 0, null);
    domain.attach(handle, hardware.driver.blocked);
    return { hardware, seen, domain };
  }

  test('are told in common words, with the native bytes', () => {
    const { hardware, seen } = listening();
    hardware.event(REPORT);
    expect(seen).toEqual([
      {
        reason: 'not-present',
        name: 'MAPPING',
        code: 2,
        device: 0x18,
        pasid: null,
        iova: 0x5000n,
        access: 'write',
        raw: REPORT,
      },
    ]);
  });

  test('a mapping that the access exceeds makes it a permission fault', () => {
    const { hardware, seen, domain } = listening();
    domain.mapPages(0x5000n, 0n, 0x1000n, 1, PROT.READ);
    domain.syncMap(0x5000n, 0x1000n);
    hardware.event(REPORT);
    expect(seen.map(({ reason }) => reason)).toEqual(['permission']);
  });

  test.each<[string, string, number, Partial<FaultRecord> | null]>([
    [
      'DOMAIN of a known endpoint',
      `01000000010100001800000000000000${'00'.repeat(8)}`,
      24,
      { reason: 'blocked', access: 'read', iova: 0n },
    ],
    ['DOMAIN of an unknown one', `01000000010100001900000000000000${'00'.repeat(8)}`, 24, { reason: 'bad-device' }],
    [
      'QEMU’s form: no direction',
      `02000000000100001800000000000000${'00'.repeat(8)}`,
      24,
      { reason: 'not-present', access: null },
    ],
    ['no address', `02000000010000001800000000000000${'ff'.repeat(8)}`, 24, { iova: null, reason: 'not-present' }],
    [
      'an unknown reason',
      `07000000010100001800000000000000${'00'.repeat(8)}`,
      24,
      { reason: 'unknown', name: 'UNKNOWN', code: 7 },
    ],
    ['reserved bytes set', `02000100010100001800000000000000${'00'.repeat(8)}`, 24, null],
    ['a short report', `02000000010100001800000000000000${'00'.repeat(8)}`, 16, null],
  ])('%s', (_title, hex, length, want) => {
    const { hardware, seen } = listening();
    hardware.event(hexToBytes(hex), length);
    if (want === null) expect(seen).toEqual([]);
    else expect(seen).toEqual([expect.objectContaining(want)]);
  });

  test('a report in a buffer the device never had silences reports, and nothing else', () => {
    const { hardware, seen, domain } = listening();
    hardware.event(REPORT, 24, 77);
    hardware.event(REPORT, 24, 0);
    expect(seen).toEqual([]);
    domain.mapPages(0n, 0n, 0x1000n, 1, RW);
    domain.syncMap(0n, 0x1000n);
  });
});

describe('a device that answers at random', () => {
  const answer = fc.record({
    bytes: fc.oneof(
      fc.constant<number[]>([0, 0, 0, 0]),
      fc.array(fc.integer({ min: 0, max: 10 }), { maxLength: 4 }),
      fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 68, maxLength: 68 }),
    ),
    used: fc.option(fc.constantFrom(0, 3, 4, 5, 68, 0xffff_ffff), { nil: undefined, freq: 5 }),
    id: fc.option(fc.constantFrom(0, 1, 2, 3, 0xffff_ffff), { nil: undefined, freq: 10 }),
  });
  const report = fc.tuple(
    fc.uint8Array({ minLength: 24, maxLength: 24 }),
    fc.constantFrom(0, 23, 24, 0xffff_ffff),
    fc.nat(20),
  );

  test(
    'makes the driver throw IommuError or work, and gives back every page at the end',
    () => {
      fc.assert(
        fc.property(
          fc.array(answer, { minLength: 1, maxLength: 12 }),
          fc.array(report, { maxLength: 3 }),
          (answers, reports) => {
            const hardware = new ScriptedDevice({
              answer: (_hex, nth) => {
                const { bytes, used, id } = answers[nth % answers.length]!;
                return { bytes, ...(used === undefined ? {} : { used }), ...(id === undefined ? {} : { id }) };
              },
            });
            const { driver } = hardware;
            driver.probe();
            driver.onFault(() => {});
            errnoOf(() => {
              const handle = driver.probeDevice(device(8, 9));
              const domain = driver.allocPaging(handle, 0, null);
              errnoOf(() => domain.attach(handle, driver.blocked));
              domain.mapPages(0n, 0n, 0x1000n, 1, RW);
              errnoOf(() => domain.syncMap(0n, 0x1000n));
              const gather = newGather();
              domain.unmapPages(0n, 0x1000n, gather);
              errnoOf(() => domain.syncUnmap(gather));
              errnoOf(() => driver.identity.attach(handle, domain));
              errnoOf(() => driver.blocked.attach(handle, driver.identity));
            });
            for (const [bytes, length, id] of reports) hardware.event(bytes, length, id);
            driver.release();
            expect(hardware.pages.livePages).toBe(0);
          },
        ),
        { numRuns: RUNS },
      );
    },
    FUZZ_TIMEOUT,
  );
});
