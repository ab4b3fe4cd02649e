import { bytesToHex, hexToBytes, wordsToBytes } from '@iommukit/bits';
import { afterAll, describe, expect, test } from 'vitest';
import { vtdDecoder } from '../../src/decode/decoder.ts';
import { CAPTURES, type Descriptors, type Golden, json, openDump } from '../fixtures/capture.ts';

/** The capture's words for a type, and the manual's. */
const NAMES: Readonly<Record<string, string>> = {
  'context-cache': 'cc_inv_dsc',
  iotlb: 'iotlb_inv_dsc',
  'device-tlb': 'dev_tlb_inv_dsc',
  iec: 'iec_inv_dsc',
  wait: 'inv_wait_dsc',
  'pasid-iotlb': 'p_iotlb_inv_dsc',
  'pasid-cache': 'pc_inv_dsc',
  'pasid-device-tlb': 'p_dev_tlb_inv_dsc',
};

const quads = (...values: (string | null)[]): Uint8Array =>
  wordsToBytes(
    values.flatMap((value) => {
      const quad = BigInt(value ?? '0x0');
      return [Number(quad & 0xffff_ffffn), Number(quad >> 32n)];
    }),
  );

describe.each(CAPTURES)('%s', (capture) => {
  const stream = json<Descriptors>(capture, 'descriptors.json');
  const { reader, close } = openDump(capture);
  afterAll(close);

  test('every descriptor of the stream has its name', () => {
    expect(stream.descriptors.length).toBeGreaterThan(3000);
    for (const [, type, lo, hi, qw2, qw3] of stream.descriptors) {
      const bytes = quads(lo, hi, qw2, qw3).subarray(0, stream.descriptor_bytes);
      const { name, problems } = vtdDecoder.decode('descriptor', bytes);
      expect([name, ...problems]).toEqual([NAMES[stream.types[type]!]]);
    }
  });

  test('the ring in the dump, oldest first', () => {
    const ring = [...reader.queue('invalidation')];
    const { tail_index, raw } = stream.ring;
    expect(ring.map(({ index }) => index)).toEqual(raw.map((_, i) => (tail_index + i) % raw.length));
    for (const { index, bytes, consumed } of ring) {
      expect([bytesToHex(bytes), consumed]).toEqual([raw[index], true]);
      expect(vtdDecoder.decode('descriptor', bytes).problems).toEqual([]);
    }
    expect(() => reader.queue('event')).toThrow(RangeError);
  });

  test('every interrupt-remapping entry', () => {
    for (const { lo, hi } of json<Golden>(capture, 'golden.json').irte) {
      const { name, problems, fields } = vtdDecoder.decode('irte', quads(lo, hi));
      expect([name, ...problems]).toEqual(['irte']);
      expect(fields.SVT).toBe(1);
    }
  });
});

describe('what is not legal is UNKNOWN and says why', () => {
  test.each([
    ['a type that does not exist', 'descriptor', '0f', 16],
    ['a type with bits 11:9', 'descriptor', '0202', 16],
    ['an IOTLB flush without granularity', 'descriptor', '02', 16],
    ['a PASID-cache flush with granularity 2', 'descriptor', '27', 32],
    ['a 256-bit descriptor in a 128-bit queue', 'descriptor', '36', 16],
    ['reserved bits in a wait', 'descriptor', '2501', 16],
    ['a PASID entry with PGTT 0', 'pasid-entry', '01', 64],
    ['a context entry with AW 0', 'context-entry', '01', 16],
    ['PRE without DTE', 'scalable-context-entry', '11', 32],
    ['fault reason 82h', 'fault', '0000000000000000000000008200000080', 16],
  ])('%s', (_title, kind, hex, size) => {
    const bytes = new Uint8Array(size);
    bytes.set(hexToBytes(hex).subarray(0, size));
    const { name, problems } = vtdDecoder.decode(kind, bytes);
    expect(name).toBe('UNKNOWN');
    expect(problems).not.toEqual([]);
  });

  test('an entry that is not present may hold anything', () => {
    const bytes = new Uint8Array(64).fill(0xfe);
    expect(vtdDecoder.decode('pasid-entry', bytes)).toMatchObject({ name: 'pasid-entry', problems: [] });
  });

  test('a fault record carries the condition’s name', () => {
    const record = hexToBytes('00100000000000000001000071000080');
    expect(vtdDecoder.decode('fault', record)).toMatchObject({ name: 'SFS.2', fields: { SID: 0x100, F: true } });
  });
});
