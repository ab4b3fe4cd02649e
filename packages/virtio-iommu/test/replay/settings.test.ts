import { bytesToHex, hexToBytes } from '@iommukit/bits';
import { ACCESS, DmaAnswer, DmaRequest, isIommuError, OUTCOME } from '@iommukit/core';
import { describe, expect, test } from 'vitest';
import { replay } from '../../src/replay/replay.ts';
import { attach, detach, map, probe, unmap } from '../hardware/rig.ts';

type Line = [hex: string, writable?: number, writeOffset?: number];

function run(lines: readonly Line[], config: unknown = null, endpoints = [0x10, 0x11]) {
  const session = replay.open({ endpoints, config });
  const results = lines.map(([hex, writable = 4, writeOffset], seq) => {
    const raw = new Uint8Array([...hexToBytes(hex), ...new Uint8Array(writable).fill(0xaa)]);
    const {
      type,
      status,
      used,
      raw: written,
    } = session.submit({ seq, raw, writeOffset: writeOffset ?? hex.length / 2 });
    return [type, status, used, bytesToHex(written)];
  });
  const ask = (device: number, iova: number) => {
    const request = new DmaRequest();
    const answer = new DmaAnswer();
    Object.assign(request, { device, iovaLo: iova, access: ACCESS.WRITE });
    session.hardware.translate(request, answer);
    return answer;
  };
  return { results, ask, session };
}

const refusal = (config: unknown): string => {
  try {
    replay.open({ endpoints: [], config });
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return 'none';
};

describe('replay settings', () => {
  test('a write_offset of 0 is one that the driver did not note', () => {
    const page = map(1, 0x1000n, 0x1fffn, 0x2000n);
    const { results } = run([
      [attach(1, 0x10), 4, 20],
      [page, 4, 0],
      [unmap(1, 0x1000n, 0x1fffn), 4, 0],
      [probe(0x10), 516, 0],
    ]);
    expect(results.map(([type, status, used]) => [type, status, used])).toEqual([
      ['ATTACH', 'OK', 4],
      ['MAP', 'OK', 4],
      ['UNMAP', 'OK', 4],
      ['PROBE', 'OK', 516],
    ]);
  });

  test('what the device does not know comes back unwritten, what is cut off too', () => {
    const { results } = run([
      ['09000000', 4],
      [attach(1, 0x10), 0],
      ['', 0],
      [attach(1, 0x99), 4],
      [attach(1, 0x10).slice(0, 16), 4],
    ]);
    expect(results).toEqual([
      ['UNKNOWN', null, 0, ''],
      ['ATTACH', null, 0, ''],
      ['UNKNOWN', null, 0, ''],
      ['ATTACH', 'NOENT', 4, '06000000'],
      ['ATTACH', 'INVAL', 4, '04000000'],
    ]);
  });

  test('a failing PROBE has the answer of a device that does not know the endpoint', () => {
    const { results } = run([[probe(0x20), 516]]);
    expect(results).toEqual([['PROBE', 'NOENT', 516, `${'00'.repeat(512)}06000000`]]);
  });

  test('the first PROBE tells the size of the property area', () => {
    const { results } = run([
      [probe(0x10), 28],
      [probe(0x11), 28],
      [probe(0x11), 20],
    ]);
    expect(results.map(([, status, used]) => [status, used])).toEqual([
      ['OK', 28],
      ['OK', 28],
      ['INVAL', 20],
    ]);
    expect(run([[probe(0x10), 28]], { probeSize: 512 }).results[0]).toEqual([
      'PROBE',
      'INVAL',
      28,
      `${'00'.repeat(24)}04000000`,
    ]);
    expect(run([[probe(0x10), 20]]).results[0]?.[1]).toBe('INVAL');
  });

  test('a stream that never probes has no reserved region', () => {
    const msi = map(1, 0xfee0_0000n, 0xfee0_0fffn, 0x1000n);
    expect(run([[attach(1, 0x10)], [msi]]).results[1]?.[1]).toBe('OK');
    expect(run([[probe(0x10), 516], [attach(1, 0x10)], [msi]]).results[2]?.[1]).toBe('INVAL');
    expect(run([[attach(1, 0x10)], [msi]], { features: ['MAP_UNMAP'] }).results[1]?.[1]).toBe('OK');
  });

  test('unattached endpoints pass until a domain takes them, or as `bypass` says', () => {
    const { ask } = run([[attach(1, 0x10)]]);
    expect([ask(0x11, 0x5000).outcome, ask(0x10, 0x5000).outcome]).toEqual([OUTCOME.BYPASS, OUTCOME.FAULT]);
    const closed = run([[attach(1, 0x10)], [detach(1, 0x10)]], { bypass: 0 });
    expect([closed.ask(0x10, 0).code, closed.ask(0x11, 0).code]).toEqual([1, 1]);
  });

  test('bypass domains need the feature', () => {
    expect(run([[attach(1, 0x10, 1)]]).results[0]?.[1]).toBe('OK');
    expect(run([[attach(1, 0x10, 1)]], { features: ['MAP_UNMAP', 'PROBE'] }).results[0]?.[1]).toBe('INVAL');
  });

  test('every fault is reported, however many there are', () => {
    const { ask } = run([[attach(1, 0x10)]]);
    for (let i = 0; i < 100; i++) expect(ask(0x10, i * 4096).recordWords).toBe(6);
  });

  test('all settings, in every spelling of a number', () => {
    const config = {
      pageSizeMask: '0xffffffffffff0000',
      inputRange: ['0x10000', 0x1fffff],
      domainRange: [5, '6'],
      probeSize: 48,
      bypass: 0,
      features: ['VIRTIO_IOMMU_F_INPUT_RANGE', 'DOMAIN_RANGE', 'MAP_UNMAP', 'PROBE', 'VIRTIO_RING_F_EVENT_IDX'],
      reserved: [
        { subtype: 'RESERVED', start: '0x30000', end: '0x3ffff' },
        { endpoint: 17, subtype: 'MSI', start: 0, end: 65535 },
      ],
    };
    const { results } = run(
      [
        [probe(0x11), 52],
        [attach(4, 0x10)],
        [attach(6, 0x10)],
        [map(6, 0x1000n, 0x1ffffn, 0n)],
        [map(6, 0x10000n, 0x1ffffn, 0n)],
        [map(6, 0x200000n, 0x20ffffn, 0n)],
        [map(6, 0x30000n, 0x3ffffn, 0n)],
      ],
      config,
    );
    expect(results.map(([, status]) => status)).toEqual(['OK', 'RANGE', 'OK', 'RANGE', 'OK', 'RANGE', 'INVAL']);
    const regions = '0100140000000000' + '0000030000000000' + 'ffff030000000000';
    const own = '0100140001000000' + '0000000000000000' + 'ffff000000000000';
    expect(results[0]?.[3]).toBe(`${regions}${own}00000000`);
  });

  test.each([
    [[]],
    ['text'],
    [{ granule: 4096 }],
    [{ pageSizeMask: 0 }],
    [{ pageSizeMask: '' }],
    [{ pageSizeMask: 'zz' }],
    [{ pageSizeMask: -1 }],
    [{ pageSizeMask: 1.5 }],
    [{ inputRange: [0] }],
    [{ inputRange: [5, 4] }],
    [{ domainRange: [0, '0x100000000'] }],
    [{ bypass: 2 }],
    [{ probeSize: 8 }],
    [{ probeSize: 1e9 }],
    [{ features: ['ATTACH_TABLE'] }],
    [{ features: 'PROBE' }],
    [{ reserved: [{ subtype: 'DOORBELL', start: 0, end: 1 }] }],
    [{ reserved: [{ subtype: 'MSI', start: 2, end: 1 }] }],
    [{ reserved: [{ subtype: 'MSI', start: 2 }] }],
    [{ reserved: [null] }],
  ])('%j is EINVAL', (config) => expect(refusal(config)).toBe('EINVAL'));

  test('ids a request names', () => {
    const ids = (hex: string) => replay.endpointsOf({ seq: 0, raw: hexToBytes(hex), writeOffset: 0 });
    expect(ids(attach(1, 0xffff_fff0))).toEqual([0xffff_fff0]);
    expect([ids(detach(1, 0x10)), ids(probe(0x11))]).toEqual([[0x10], [0x11]]);
    expect([ids(map(1, 0n, 1n, 0n)), ids(''), ids('01000000')]).toEqual([[], [], []]);
  });
});
