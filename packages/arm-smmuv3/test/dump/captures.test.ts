import { bytesToHex, bytesToWords, hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import { armSmmuV3 } from '../../src/index.ts';
import { answer, commands, golden, openCapture, perm, query } from './fixtures.ts';

const { decoder } = armSmmuV3;

describe.each(['a-stage1-4k-strict', 'b-stage2-4k-strict'])('%s', (name) => {
  const dump = openCapture(name);
  const expected = golden(name);

  test('every translation: address and rights', () => {
    expect(expected.translations.length).toBeGreaterThan(2000);
    for (const t of expected.translations) {
      const access = t.perm.includes('R') ? 'read' : 'write';
      expect([t.iova, query(dump, t.streamId, BigInt(t.iova), access)]).toEqual([
        t.iova,
        { outcome: 'translated', pa: BigInt(t.pa) },
      ]);
      expect([t.iova, perm(answer.permissions)]).toEqual([t.iova, t.perm]);
      expect(2 ** answer.pageSizeLg2).toBe(Number(t.size));
    }
  });

  test('every bypass', () => {
    expect(expected.bypass.length).toBeGreaterThan(10);
    for (const b of expected.bypass)
      expect(query(dump, b.streamId, BigInt(b.iova))).toEqual({ outcome: 'bypass', pa: BigInt(b.pa) });
  });

  test('every fault, cold and from the cache', () => {
    expect(expected.faults.length).toBeGreaterThan(300);
    for (const warm of [false, true]) {
      if (!warm) dump.hardware.dropCaches();
      for (const f of expected.faults)
        expect([f.iova, f.access, query(dump, f.streamId, BigInt(f.iova), f.access)]).toEqual([
          f.iova,
          f.access,
          { outcome: 'fault', name: f.fault.split(' ')[0] },
        ]);
    }
  });

  test('the record of every event QEMU wrote', () => {
    expect(expected.events.length).toBe(48);
    for (const e of expected.events) {
      query(dump, e.streamId, BigInt(e.inputAddr), e.rnw ? 'read' : 'write');
      const raw = e.raw.flatMap((w) => [Number(BigInt(w) & 0xffff_ffffn), Number(BigInt(w) >> 32n)]);
      // QEMU puts the byte offset into IPA, of which bits 55:12 exist.
      raw[6] = (raw[6]! & ~0xfff) >>> 0;
      expect([...answer.record.subarray(0, answer.recordWords)]).toEqual(raw);
    }
  });

  test('mappings are the listed ranges, and nothing else', () => {
    const listed = new Map(expected.addressSpaces.flatMap((a) => a.streamIds.map((id) => [id, a.mapped] as const)));
    expect([...dump.devices()]).toEqual(
      [...listed.keys()].sort((a, b) => a - b).map((device) => ({ device, pasid: null })),
    );
    for (const [device, mapped] of listed) {
      const found = [...dump.mappings(device, null)].map((m) => [m.iova, m.pa, m.size, perm(m.permissions)]);
      expect(found).toEqual(mapped.map((m) => [BigInt(m.iova), BigInt(m.pa), BigInt(m.size), m.perm]));
    }
  });

  test('every command of the ring by QEMU’s name', () => {
    const { ring } = commands(name);
    const found = [...dump.queue('command')];
    expect(found.map((e) => e.index)).toEqual(ring.map((_, i) => i));
    expect(found.every((e) => e.consumed)).toBe(true);
    const decoded = found.map((e) => decoder.decode('command', e.bytes));
    expect(decoded.map((d) => [d.raw, d.name])).toEqual(ring.map(([raw, op]) => [raw, `CMD_${op}`]));
    expect(decoded.filter((d) => d.problems.length > 0 || d.reserved.length > 0)).toEqual([]);
  });

  test('command fields as QEMU traced them', () => {
    const ours: Record<string, string> = {
      sid: 'StreamID',
      range: 'Range',
      leaf: 'Leaf',
      ssid: 'SubstreamID',
      vmid: 'VMID',
      asid: 'ASID',
      addr: 'Address',
      num: 'NUM',
      scale: 'SCALE',
      msidata: 'MSIData',
    };
    let compared = 0;
    for (const { raw, fields } of commands(name).decoded) {
      const mine = decoder.decode('command', hexToBytes(raw)).fields;
      for (const [key, value] of Object.entries(fields)) {
        const field = ours[key];
        if (field === undefined || !(field in mine)) continue;
        expect([raw, field, BigInt(mine[field]!)]).toEqual([raw, field, BigInt(value)]);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(1000);
  });

  test('every event record of the ring', () => {
    const found = [...dump.queue('event')];
    expect(found.length).toBe(expected.events.length);
    for (const [i, entry] of found.entries()) {
      const e = expected.events[i]!;
      expect([...bytesToWords(entry.bytes)]).toEqual(
        e.raw.flatMap((w) => [Number(BigInt(w) & 0xffff_ffffn), Number(BigInt(w) >> 32n)]),
      );
      const decoded = decoder.decode('event', entry.bytes);
      expect(decoded).toMatchObject({ name: armSmmuV3.faultName(e.type), problems: [], raw: bytesToHex(entry.bytes) });
      expect(decoded.fields.InputAddr).toBe(BigInt(e.inputAddr));
      expect(decoded.fields.StreamID).toBe(e.streamId);
    }
  });

  test('an unknown queue is refused', () => {
    expect(() => [...dump.queue('pri')]).toThrow(RangeError);
  });
});
