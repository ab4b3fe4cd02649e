import { hiOf, loOf, toBig } from '@iommukit/bits';
import { ACCESS, DmaAnswer, DmaRequest, type DumpMapping, faultReasonName, OUTCOME, PERMISSION } from '@iommukit/core';
import { afterAll, describe, expect, test } from 'vitest';
import { CAPTURES, fixture, type Golden, json, openDump, requesterId } from '../fixtures/capture.ts';

const permissionText = (bits: number): string =>
  `${bits & PERMISSION.READ ? 'r' : ''}${bits & PERMISSION.WRITE ? 'w' : ''}`;

/** Neighbours that continue each other become one, as the golden file lists them. */
function joined(mappings: Iterable<DumpMapping>): DumpMapping[] {
  const out: { -readonly [K in keyof DumpMapping]: DumpMapping[K] }[] = [];
  for (const next of mappings) {
    const last = out.at(-1);
    const continues =
      last !== undefined &&
      last.iova + last.size === next.iova &&
      last.pa + last.size === next.pa &&
      last.permissions === next.permissions &&
      last.pageSize === next.pageSize;
    if (continues) last.size += next.size;
    else out.push({ ...next });
  }
  return out;
}

describe.each(CAPTURES)('%s', (capture) => {
  const golden = json<Golden>(capture, 'golden.json');
  const { reader, close } = openDump(capture);
  afterAll(close);
  const request = new DmaRequest();
  const answer = new DmaAnswer();
  const ask = (device: number, pasid: number | null, iova: string, access: DmaRequest['access']): DmaAnswer => {
    Object.assign(request, {
      device,
      pasid: pasid ?? -1,
      iovaHi: hiOf(BigInt(iova)),
      iovaLo: loOf(BigInt(iova)),
      access,
    });
    reader.hardware.translate(request, answer);
    return answer;
  };

  test('every translation', () => {
    expect(golden.translations.length).toBeGreaterThan(5000);
    for (const { sid_num, pasid, iova, pa, perm, size } of golden.translations) {
      const { outcome, paHi, paLo, permissions, pageSizeLg2 } = ask(
        sid_num,
        pasid,
        iova,
        perm === 'w' ? ACCESS.WRITE : ACCESS.READ,
      );
      const got = { outcome, pa: toBig(paHi, paLo), perm: permissionText(permissions), size: 2 ** pageSizeLg2 };
      expect(got, `${sid_num} ${iova}`).toEqual({ outcome: OUTCOME.TRANSLATED, pa: BigInt(pa), perm, size });
    }
  });

  test('every fault, with the architecture’s reason and a record', () => {
    expect(golden.faults.length).toBeGreaterThan(700);
    for (const { sid_num, pasid, iova, write, code, why } of golden.faults) {
      const got = ask(sid_num, pasid, iova, write ? ACCESS.WRITE : ACCESS.READ);
      expect([got.outcome, got.code, got.recordWords], `${sid_num} ${iova} ${why}`).toEqual([OUTCOME.FAULT, code, 4]);
      if (why === 'not present') expect(faultReasonName(got.reason)).toBe('not-present');
    }
  });

  test('the tables list exactly the golden devices and ranges', () => {
    expect([...reader.devices()]).toEqual(golden.devices.map(({ sid }) => ({ device: sid, pasid: null })));
    for (const [bdf, ranges] of Object.entries(golden.ranges)) {
      const got = joined(reader.mappings(requesterId(bdf), null)).map(
        ({ iova, pa, size, permissions, pageSize }) =>
          [iova, pa, size, permissionText(permissions), Number(pageSize)] as const,
      );
      const want = ranges.map(([iova, pa, size, perm, page]) => [BigInt(iova), BigInt(pa), BigInt(size), perm, page]);
      expect(got, bdf).toEqual(want);
    }
  });

  test('answers do not depend on the order or the warmth of the caches', () => {
    const [first] = golden.faults;
    const before = { ...ask(first!.sid_num, null, first!.iova, ACCESS.READ) };
    reader.hardware.dropCaches();
    expect({ ...ask(first!.sid_num, null, first!.iova, ACCESS.READ) }).toEqual(before);
  });

  test('a frame cut to the least that is needed gives the same unit', () => {
    expect(
      fixture(capture, 'vtd-regs.bin')
        .subarray(0x230)
        .every((byte) => byte === 0),
    ).toBe(true);
    expect(reader.hardware.mmio.read64(0x8)).not.toBe(0n);
  });
});
