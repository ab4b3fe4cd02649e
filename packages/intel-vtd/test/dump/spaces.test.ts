import { hiOf, loOf, toBig } from '@iommukit/bits';
import { DmaAnswer, DmaRequest, type DumpReader, OUTCOME, PERMISSION } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { vtdDump } from '../../src/dump/reader.ts';
import { legacyRig, type Rig, scalableRig } from '../hardware/rig.ts';

const open = (rig: Rig): DumpReader => {
  const { words } = rig.hardware.unit.registers;
  return vtdDump.open(rig.memory, new Uint8Array(words.buffer.slice(0, 0x230)), { hostAddressBits: 52 });
};

/** Every listed page translates to what the list says, with its rights. */
function agrees(reader: DumpReader, device: number, pasid: number | null): void {
  const request = new DmaRequest();
  const answer = new DmaAnswer();
  for (const { iova, pa, size, pageSize, permissions } of reader.mappings(device, pasid)) {
    const last = iova + size - 1n;
    for (const [from, to] of [
      [iova, pa],
      [last, pa + size - 1n],
    ] as const) {
      const access = (permissions & PERMISSION.READ) === 0 ? 1 : 0;
      Object.assign(request, { device, pasid: pasid ?? -1, iovaHi: hiOf(from), iovaLo: loOf(from), access });
      reader.hardware.translate(request, answer);
      expect([answer.outcome, toBig(answer.paHi, answer.paLo), answer.permissions, answer.pageSizeLg2]).toEqual([
        OUTCOME.TRANSLATED,
        to,
        permissions,
        Math.log2(Number(pageSize)),
      ]);
    }
  }
}

const PWSNP = 1n << 23n;

describe('address spaces of a dump', () => {
  test('nested: first-stage leaves are cut along the second stage, holes left out', () => {
    const rig = scalableRig('scalable-nested');
    const [second, first] = [rig.page(), rig.page()];
    rig.map(first, 4, 0x20_0000n, 0x4000_00e7n, 0x27n, 2);
    rig.map(first, 4, 0x7fff_ffff_f000n, 0x4000_1065n, 0x27n);
    rig.map(first, 4, 0xffff_8000_0000_0000n, 0x8000_0067n, 0x27n);
    rig.map(second, 4, 0x4000_0000n, 0x9_0000_0003n, 3n);
    rig.map(second, 4, 0x4000_1000n, 0x9_1000_0003n, 3n);
    rig.map(second, 4, 0x4000_5000n, 0x9_2000_0001n, 3n);
    rig.map(second, 4, 0x8000_0000n, 0x8000_0083n, 3n, 3);
    for (let table = first; table < first + 0xa_0000n; table += 0x1000n) rig.map(second, 4, table, table | 3n, 3n);
    rig.put(rig.entry(0), second | 0xc9n, 7n | PWSNP, first);
    rig.put(rig.entry(1), 0x101n, 9n);
    rig.put(rig.entry(9), 0x41n, 8n | PWSNP, first);
    rig.enable(rig.root, 1);
    const reader = open(rig);
    expect([...reader.devices()]).toEqual([
      { device: 0x10, pasid: null },
      { device: 0x10, pasid: 9 },
    ]);
    const listed = [...reader.mappings(0x10, null)].map(({ iova, pa, size, permissions }) => [
      iova,
      pa,
      size,
      permissions,
    ]);
    expect(listed).toEqual([
      [0x20_0000n, 0x9_0000_0000n, 0x1000n, 3],
      [0x20_1000n, 0x9_1000_0000n, 0x1000n, 3],
      [0x20_5000n, 0x9_2000_0000n, 0x1000n, 1],
      [0x7fff_ffff_f000n, 0x9_1000_0000n, 0x1000n, 1],
      [0xffff_8000_0000_0000n, 0x8000_0000n, 0x1000n, 3],
    ]);
    agrees(reader, 0x10, null);
    agrees(reader, 0x10, 9);
    expect([...reader.mappings(0x10, 0)]).toEqual([]);
    expect([...reader.mappings(0x11, null)]).toEqual([]);
  });

  test('legacy: write-only pages, 1 GiB pages, nothing past the aperture; pass-through is no mapping', () => {
    const rig = legacyRig('legacy-3level', 1n);
    rig.map(rig.table, 3, 0x1000n, 0x5000_0002n, 3n);
    rig.map(rig.table, 3, 0x7f_c000_0000n, 0x4000_0083n, 3n, 3);
    rig.put(rig.context + 16n, 9n, 0x101n);
    rig.enable(rig.root);
    const reader = open(rig);
    expect([...reader.devices()]).toEqual([{ device: 0x10, pasid: null }]);
    expect([...reader.mappings(0x10, null)].map(({ iova, permissions }) => [iova, permissions])).toEqual([
      [0x1000n, 2],
      [0x7f_c000_0000n, 3],
    ]);
    agrees(reader, 0x10, null);
  });

  test('a table that contains itself lists in bounded time', () => {
    const rig = legacyRig();
    for (let i = 0n; i < 512n; i++) rig.put(rig.table + i * 8n, rig.table | (i < 511n ? 3n : 0n) | (1n << 62n));
    rig.enable(rig.root);
    expect([...open(rig).mappings(0x10, null)]).toEqual([]);
  });

  test('each query stands alone: no record is lost to another’s', () => {
    const rig = legacyRig();
    rig.enable(rig.root);
    for (let i = 0; i < 20; i++) rig.ask(0n);
    const reader = open(rig);
    const request = new DmaRequest();
    const answer = new DmaAnswer();
    request.device = 0x10;
    for (let i = 0; i < 20; i++) {
      reader.hardware.translate(request, answer);
      expect([answer.code, answer.recordWords]).toEqual([6, 4]);
    }
  });

  test('what hardware refuses before it reads a table maps nothing: reserved bits, an unsupported width', () => {
    const rig = legacyRig('legacy-4level');
    rig.map(rig.table, 4, 0x1000n, 0x5000_0003n, 3n);
    rig.enable(rig.root);
    const listed = (): number => [...open(rig).devices()].length + [...open(rig).mappings(0x10, null)].length;
    expect(listed()).toBe(2);
    for (const [qw0, qw1] of [
      [rig.table | 1n | (1n << 5n), 0x502n],
      [rig.table | 1n, 0x502n | (1n << 40n)],
      [rig.table | 1n, 0x503n],
    ] as const) {
      rig.put(rig.context, qw0, qw1);
      expect([listed(), rig.ask(0x1000n).outcome]).toEqual([0, 'fault']);
      rig.hardware.dropCaches();
    }
    rig.put(rig.context, rig.table | 1n, 0x502n);
    rig.put(rig.root + 8n, 1n);
    expect(listed()).toBe(0);
  });

  test('scalable mode: a reserved bit of the PASID entry, and PASIDs past ECAP.PSS', () => {
    const rig = scalableRig('scalable-ss');
    rig.map(rig.pasids + 0x10_0000n, 4, 0x1000n, 0x5000_0003n, 3n);
    rig.put(rig.entry(0), (rig.pasids + 0x10_0000n) | 0x89n, 7n);
    rig.enable(rig.root, 1);
    expect([...open(rig).mappings(0x10, null)].length).toBe(1);
    rig.put(rig.entry(0), (rig.pasids + 0x10_0000n) | 0xa9n, 7n);
    expect([...open(rig).devices()]).toEqual([]);
    expect([...open(rig).mappings(0x10, null)]).toEqual([]);
  });

  test('woken again, a dump still answers from its tables alone: the interrupt range, and a record each time', () => {
    const rig = legacyRig('legacy-4level');
    rig.map(rig.table, 4, 0xfee0_0000n, 0x5000_0003n, 3n);
    rig.put(rig.context, rig.table | 1n, 0x102n);
    rig.enable(rig.root);
    const reader = open(rig);
    const { words } = rig.hardware.unit.registers;
    const ask = (iovaLo: number): unknown[] => {
      const answer = new DmaAnswer();
      reader.hardware.translate(
        Object.assign(new DmaRequest(), { device: 0x10, iovaHi: 0, iovaLo, access: 0 }),
        answer,
      );
      return [answer.outcome, answer.code, answer.recordWords];
    };
    const asked = [0xfee0_0000 | 0, 0xfee0_1000 | 0, 0xfee0_1000 | 0].map(ask);
    expect(asked).toEqual([
      [OUTCOME.TRANSLATED, expect.anything(), 0],
      [OUTCOME.FAULT, 6, 4],
      [OUTCOME.FAULT, 6, 4],
    ]);
    reader.hardware.wake(new Uint8Array(words.buffer.slice(0, 0x230)));
    expect([0xfee0_0000 | 0, 0xfee0_1000 | 0, 0xfee0_1000 | 0].map(ask)).toEqual(asked);
  });
});
