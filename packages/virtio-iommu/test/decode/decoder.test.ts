import { hexToBytes } from '@iommukit/bits';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decoder } from '../../src/decode/decoder.ts';
import { capturedRequests } from '../capture.ts';
import { FUZZ_TIMEOUT, RUNS } from '../fuzz.ts';

const decode = (kind: string, hex: string) => decoder.decode(kind, hexToBytes(hex));

describe('requests', () => {
  test('all 13,610 of capture E have their name, their fields and no problem', () => {
    for (const captured of capturedRequests() as unknown as Record<string, string | number>[]) {
      const { name, fields, reserved, problems, raw } = decode('request', captured.raw as string);
      expect([name, raw, reserved, problems]).toEqual([`VIRTIO_IOMMU_T_${captured.type}`, captured.raw, [], []]);
      for (const key of ['domain', 'endpoint', 'flags'] as const) {
        if (captured[key] !== undefined) expect(fields[key]).toBe(captured[key]);
      }
      for (const key of ['virt_start', 'virt_end', 'phys_start'] as const) {
        if (captured[key] !== undefined) expect(fields[key]).toBe(BigInt(captured[key]));
      }
      expect(fields.status).toBe(0);
    }
  });

  test('a PROBE with its answer', () => {
    const answer = '01001400010000000000e0fe00000000ffffeffe00000000';
    const { name, fields } = decode('request', `0500000000810000${'00'.repeat(64)}${answer}00000000`);
    expect(name).toBe('VIRTIO_IOMMU_T_PROBE');
    expect(fields).toEqual({
      type: 5,
      endpoint: 0x8100,
      status: 0,
      'property[0].type': 1,
      'property[0].length': 20,
      'property[0].subtype': 1,
      'property[0].start': 0xfee00000n,
      'property[0].end': 0xfeefffffn,
    });
  });

  test('the readable part alone has no status', () => {
    const { fields, problems } = decode('request', '0100000007000000180000000100000000000000');
    expect(fields).toEqual({ type: 1, domain: 7, endpoint: 0x18, BYPASS: true, flags: 1 });
    expect(problems).toEqual([]);
  });

  test.each([
    ['0100000007000000180000000200000000000000', ['[97:97]=0x1'], ['an undefined flag is set']],
    ['0100000007000000180000000000000005000000', ['[128:128]=0x1', '[130:130]=0x1'], ['the reserved word is not zero']],
    ['02000000070000001800000002000000ff00000009000000', [], ['status 9 is not defined']],
    [`04000000${'00'.repeat(20)}01000000`, ['[192:192]=0x1'], ['the reserved word is not zero']],
    [
      `03000000${'00'.repeat(28)}09000000${'00'.repeat(8)}`,
      ['[259:259]=0x1'],
      ['an undefined flag is set', '4 bytes follow the tail'],
    ],
    [
      `0500000000810000${'00'.repeat(64)}0100ff0000000000${'00'.repeat(4)}`,
      [],
      ['property 0 leaves the property area'],
    ],
  ])('%s', (hex, reserved, problems) => {
    const entry = decode('request', hex);
    expect([entry.name === 'UNKNOWN', entry.reserved, entry.problems]).toEqual([false, reserved, problems]);
  });

  test.each(['', '0100', '06000000', '00000000ffffffff', '0300000001000000'])('%s is UNKNOWN', (hex) => {
    const entry = decode('request', hex);
    expect(entry.name).toBe('UNKNOWN');
    expect(entry.problems).toHaveLength(1);
  });
});

describe('events', () => {
  test.each([
    ['00000000', 'VIRTIO_IOMMU_FAULT_R_UNKNOWN'],
    ['01000000', 'VIRTIO_IOMMU_FAULT_R_DOMAIN'],
    ['02000000', 'VIRTIO_IOMMU_FAULT_R_MAPPING'],
    ['03000000', 'UNKNOWN'],
  ])('reason %s is %s', (reason, name) => {
    const entry = decode('event', `${reason}0201000000010000000000000000000000000000`);
    expect([entry.name, entry.fields.endpoint, entry.fields.flags]).toEqual([name, 0x100, 0x102]);
  });

  test('a report with reserved bytes set says that drivers ignore it', () => {
    const entry = decode('event', `0200ff00${'00'.repeat(20)}`);
    expect(entry.problems).toHaveLength(1);
    expect(entry.reserved).toEqual(['[23:16]=0xff']);
  });

  test('a wrong length and an unknown kind are UNKNOWN', () => {
    expect([decode('event', '00').name, decode('ste', '00').name]).toEqual(['UNKNOWN', 'UNKNOWN']);
  });
});

test('sizes are those of the bytes with and without the device-written part', () => {
  expect(decoder.sizes('request')).toEqual([20, 24, 28, 32, 36, 40, 72, 76, 100, 588]);
  expect([decoder.sizes('event'), decoder.sizes('cd'), decoder.kinds]).toEqual([[24], [], ['request', 'event']]);
});

test(
  'any bytes decode',
  () => {
    fc.assert(
      fc.property(
        fc.constantFrom('request', 'event'),
        fc.integer({ min: 0, max: 6 }),
        fc.uint8Array({ maxLength: 140 }),
        (kind, type, bytes) => {
          if (bytes.length > 0) bytes[0] = type;
          const entry = decoder.decode(kind, bytes);
          expect(entry.name === 'UNKNOWN' && entry.problems.length === 0).toBe(false);
        },
      ),
      { numRuns: RUNS },
    );
  },
  FUZZ_TIMEOUT,
);
