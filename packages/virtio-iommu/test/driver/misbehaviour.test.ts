import { hexToBytes } from '@iommukit/bits';
import { type FaultRecord, newGather, PROT } from '@iommukit/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FUZZ_TIMEOUT, RUNS } from '../fuzz.ts';
import { attach, map, S, unmap } from '../hardware/rig.ts';
import { type Answer, answering, device, errnoOf, live, OK, ScriptedDevice, status } from './scripted-device.ts';

const RW = PROT.READ | PROT.WRITE;

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
