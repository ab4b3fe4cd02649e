import { bytesToHex, wordsToBytes } from '@iommukit/bits';
import { ACCESS, DmaAnswer, DmaRequest, FAULT_REASON, OUTCOME, REQUEST_KIND } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import type { FeatureName } from '../../src/format/features.ts';
import { AT, attach, DeviceRig, detach, map, S } from './rig.ts';

const start = (changes = {}) => new DeviceRig(changes).start();

/** The eventq's used ring: `[id, length]` of the first `count` elements. */
function events(rig: DeviceRig): { count: number; element(n: number): string; report(n: number): string } {
  const count = rig.bytes(AT.event.used + 2n, 1)[0]!;
  return {
    count,
    element: (n) => bytesToHex(rig.bytes(AT.event.used + 4n + BigInt(8 * n), 8)),
    report: (n) => bytesToHex(rig.bytes(AT.events + BigInt(64 * n), 24)),
  };
}

describe('who passes untranslated (virtio 1.3 §5.13.6.2)', () => {
  const F = (...names: FeatureName[]): FeatureName[] => ['MAP_UNMAP', ...names];

  test.each([
    ['bypass=1 offered and accepted', { features: F('BYPASS_CONFIG'), bypass: 1 }, ~0n, true],
    ['bypass=1 offered, the driver does not know it', { features: F('BYPASS_CONFIG'), bypass: 1 }, ~0x40n, true],
    ['bypass=0', { features: F('BYPASS_CONFIG'), bypass: 0 }, ~0n, false],
    ['legacy BYPASS accepted', { features: F('BYPASS') }, ~0n, true],
    ['legacy BYPASS offered, not accepted', { features: F('BYPASS') }, ~8n, false],
    ['neither', { features: F() }, ~0n, false],
  ] as const)('unattached, %s', (_title, changes, accept, passes) => {
    const rig = new DeviceRig(changes as object);
    rig.start(rig.offered() & accept);
    expect(rig.ask(0x10, 0xdead_0000_1234n).outcome).toBe(passes ? OUTCOME.BYPASS : OUTCOME.FAULT);
    if (passes) expect(rig.where(0x10, 0xdead_0000_1234n)).toBe(0xdead_0000_1234n);
    rig.status(attach(1, 0x10));
    expect(rig.ask(0x10, 0n).outcome).toBe(OUTCOME.FAULT);
  });

  test('a bypass domain passes whatever the configuration says', () => {
    const rig = start();
    rig.status(attach(1, 0x10, 1));
    const answer = rig.ask(0x10, 0xffff_ffff_ffff_ffffn, ACCESS.WRITE);
    expect([answer.outcome, answer.paHi >>> 0, answer.paLo >>> 0]).toEqual([OUTCOME.BYPASS, 0xffff_ffff, 0xffff_ffff]);
    expect([answer.pageSizeLg2, answer.permissions]).toEqual([64, 3]);
    rig.status(detach(1, 0x10));
    expect(rig.where(0x10, 0n)).toBe('fault 1');
  });

  test('an endpoint nobody manages is refused as not attached', () => {
    const rig = start({ endpoints: [{ first: 1, last: 2 }] });
    expect([rig.ask(3, 0n).reason, rig.ask(1, 0n).reason]).toEqual([FAULT_REASON.BAD_DEVICE, FAULT_REASON.BLOCKED]);
    expect([rig.ask(3, 0n).code, rig.ask(1, 0n).code]).toEqual([1, 1]);
  });

  test('there are no PASIDs and no ATS', () => {
    const rig = start();
    rig.status(attach(1, 0x10, 1));
    const request = new DmaRequest();
    const answer = new DmaAnswer();
    request.device = 0x10;
    request.pasid = 0;
    rig.device.translate(request, answer);
    expect([answer.outcome, answer.reason, answer.code]).toEqual([OUTCOME.FAULT, FAULT_REASON.BAD_PASID, 0]);
    request.pasid = -1;
    request.kind = REQUEST_KIND.TRANSLATED;
    rig.device.translate(request, answer);
    expect([answer.outcome, answer.reason, answer.code]).toEqual([OUTCOME.FAULT, FAULT_REASON.UNSUPPORTED, 0]);
  });
});

describe('translated accesses (§5.13.6.5)', () => {
  test('PA = VA - virt_start + phys_start, over carries of the low half, both ways', () => {
    const rig = start();
    rig.status(attach(1, 0x10));
    rig.status(map(1, 0xffff_f000n, 0x1_0000_0fffn, 0x8_0000_0000n));
    rig.status(map(1, 0x2_0000_0000n, 0x2_0000_1fffn, 0xffff_f000n));
    expect(rig.where(0x10, 0xffff_ffffn)).toBe(0x8_0000_0fffn);
    expect(rig.where(0x10, 0x1_0000_0000n)).toBe(0x8_0000_1000n);
    expect(rig.where(0x10, 0x2_0000_1008n)).toBe(0x1_0000_0008n);
    expect([rig.where(0x10, 0xffff_efffn), rig.where(0x10, 0x1_0000_1000n)]).toEqual(['fault 2', 'fault 2']);
  });

  test('the page size told is the largest block that is inside, and aligned on both sides', () => {
    const rig = start();
    rig.status(attach(1, 0x10));
    rig.status(map(1, 0x20_0000n, 0x5f_ffffn, 0x4000_0000n)); // 4 MiB, congruent modulo 2 MiB
    rig.status(map(1, 0x80_0000n, 0x9f_ffffn, 0x4000_3000n)); // 2 MiB, congruent modulo 4 KiB
    rig.status(map(1, 0x100_1000n, 0x100_3fffn, 0x1000n));
    expect(rig.ask(0x10, 0x3f_ffffn).pageSizeLg2).toBe(21);
    expect(rig.ask(0x10, 0x40_0000n).pageSizeLg2).toBe(21);
    expect(rig.ask(0x10, 0x80_0000n).pageSizeLg2).toBe(12);
    expect([0x100_1000n, 0x100_2000n, 0x100_3000n].map((iova) => rig.ask(0x10, iova).pageSizeLg2)).toEqual([
      12, 13, 13,
    ]);
  });

  test('permissions are those of data; EXECUTE joins when the request is a fetch', () => {
    const rig = start();
    rig.status(attach(1, 0x10));
    rig.status(map(1, 0x1000n, 0x1fffn, 0n, 1));
    rig.status(map(1, 0x2000n, 0x2fffn, 0n, 2));
    expect(rig.ask(0x10, 0x1000n).permissions).toBe(1);
    expect(rig.ask(0x10, 0x1000n, ACCESS.EXECUTE).permissions).toBe(5);
    expect(rig.ask(0x10, 0x2000n, ACCESS.WRITE).permissions).toBe(2);
    expect(rig.ask(0x10, 0x2000n).reason).toBe(FAULT_REASON.PERMISSION);
    expect(rig.ask(0x10, 0x3000n).reason).toBe(FAULT_REASON.NOT_PRESENT);
  });

  test('byte-granular neighbours are not mistaken for each other', () => {
    const rig = start({ pageSizeMask: 1n, reserved: [] });
    rig.status(attach(1, 0x10));
    rig.status(map(1, 0x101n, 0x101n, 0x900n));
    rig.status(map(1, 0x102n, 0x103n, 0x500n));
    expect([0x100n, 0x101n, 0x102n, 0x103n, 0x104n].map((iova) => rig.where(0x10, iova))).toEqual([
      'fault 2',
      0x900n,
      0x500n,
      0x501n,
      'fault 2',
    ]);
  });
});

describe('reserved regions (§5.13.6.8.1)', () => {
  const reserved = [
    { subtype: 'MSI', start: 0xfee0_0000n, end: 0xfeef_ffffn },
    { subtype: 'RESERVED', start: 0x8000n, end: 0x8fffn },
  ] as const;

  test('the doorbell is reached untranslated by an attached endpoint, and by no other', () => {
    const rig = start({ reserved });
    expect(rig.where(0x10, 0xfee0_0040n, ACCESS.WRITE)).toBe('fault 1');
    rig.status(attach(1, 0x10));
    const answer = rig.ask(0x10, 0xfee0_0040n, ACCESS.WRITE);
    expect([answer.outcome, answer.paLo >>> 0, answer.pageSizeLg2]).toEqual([OUTCOME.BYPASS, 0xfee0_0040, 20]);
    expect([rig.where(0x10, 0xfedf_ffffn, 1), rig.where(0x10, 0xfef0_0000n, 1)]).toEqual(['fault 2', 'fault 2']);
  });

  test('a RESERVED region faults', () => {
    const rig = start({ reserved });
    rig.status(attach(1, 0x10));
    expect(rig.where(0x10, 0x8000n)).toBe('fault 2');
  });
});

describe('fault reports (§5.13.6.9)', () => {
  test('DOMAIN and MAPPING, with direction and address, one a fault', () => {
    const rig = start();
    const first = rig.ask(0xfff0, 0x1_2345_6789n, ACCESS.WRITE);
    rig.status(attach(1, 0x10));
    rig.ask(0x10, 0xffff_ffff_ffff_ffffn);
    rig.ask(0x10, 0xffff_ffff_ffff_ffffn);
    const { count, element, report } = events(rig);
    expect(count).toBe(3);
    expect([element(0), element(1)]).toEqual(['0000000018000000', '0100000018000000']);
    expect(report(0)).toBe('01000000' + '02010000' + 'f0ff0000' + '00000000' + '8967452301000000');
    expect(report(1)).toBe('02000000' + '01010000' + '10000000' + '00000000' + 'ffffffffffffffff');
    expect([first.recordWords, bytesToHex(wordsToBytes(first.record.subarray(0, 6)))]).toEqual([6, report(0)]);
    expect([rig.interrupts, rig.read(0x60)]).toEqual([4, 1]);
  });

  test('without a buffer the report is dropped, and the answer says so', () => {
    const rig = start();
    for (let i = 0; i < 8; i++) expect(rig.ask(0x10, 0n).recordWords).toBe(6);
    expect(rig.ask(0x10, 0n).recordWords).toBe(0);
    rig.postEvents(1);
    expect(rig.ask(0x10, 0n).recordWords).toBe(6);
    expect(rig.read(0x70)).toBe(0xf);
  });

  test('a buffer too small comes back empty; the report is not spread', () => {
    const rig = new DeviceRig();
    rig.negotiate();
    rig.setQueue(0);
    rig.setQueue(1);
    rig.postEvents(1, 23);
    rig.write(0x70, 0xf);
    expect(rig.ask(0x10, 0n).recordWords).toBe(0);
    expect([events(rig).count, events(rig).element(0)]).toEqual([1, '0000000000000000']);
    expect(rig.read(0x70)).toBe(0xf);
  });

  test('a broken event ring needs a reset; the fault is still a fault', () => {
    const rig = start();
    rig.memory.poison(AT.event.desc, AT.event.desc + 0xfffn);
    expect(rig.where(0x10, 0n)).toBe('fault 1');
    expect(rig.read(0x70)).toBe(0x4f);
    expect(rig.where(0x10, 0n)).toBe('fault 1');
    expect(rig.status(attach(1, 0x10))).toBe(-1);
  });

  test('nothing is reported before DRIVER_OK', () => {
    const rig = new DeviceRig();
    rig.negotiate();
    rig.setQueue(1);
    rig.postEvents(1);
    expect(rig.ask(0x10, 0n).recordWords).toBe(0);
    expect(events(rig).count).toBe(0);
  });

  test('an onlooker sees requests and reports', () => {
    const rig = start();
    const seen: string[] = [];
    rig.device.probe = {
      command: (kind, raw) => seen.push(`${kind} ${bytesToHex(raw)}`),
      record: (kind, raw) => seen.push(`${kind} ${bytesToHex(raw)}`),
    };
    expect(rig.status(`${attach(1, 0x10)}ffff`)).toBe(S.OK);
    rig.ask(0x10, 4n);
    expect(seen).toEqual([
      `request ${attach(1, 0x10)}`,
      `event ${'02000000' + '01010000' + '10000000' + '00000000' + '0400000000000000'}`,
    ]);
  });
});
