import { bytesToWords, hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import { FAULT, FAULT_FLAG, FAULT_WORD, faultName } from '../../src/format/events.ts';
import { PROPERTY_HEADER, RESV_MEM } from '../../src/format/properties.ts';

describe('fault reports', () => {
  /** virtio 1.3 §5.13.6.9 by byte: reason 0, flags 4, endpoint 8, reserved 12, address 16. */
  const BYTES = '02000000' + '02010000' + '00810000' + 'efbeadde' + '0010ffff7f000000';

  test('MAPPING, WRITE, ADDRESS, endpoint 0x8100, address 0x7fffff1000', () => {
    const words = bytesToWords(hexToBytes(BYTES));
    expect(FAULT.decode(words)).toEqual({
      reason: 2,
      READ: false,
      WRITE: true,
      ADDRESS: true,
      endpoint: 0x8100,
      address: 0x7fffff1000n,
    });
    expect(FAULT.reserved(words)).toEqual([]);
    expect(words[FAULT_WORD.FLAGS]).toBe(FAULT_FLAG.ADDRESS | FAULT_FLAG.WRITE);
    expect([words[FAULT_WORD.ENDPOINT], words[FAULT_WORD.ADDRESS], words[FAULT_WORD.ADDRESS + 1]]).toEqual([
      0x8100, 0xffff1000, 0x7f,
    ]);
  });

  test('the bytes behind the reason and undefined flags are reserved', () => {
    const words = bytesToWords(hexToBytes(`0200000104020000${'00000000'.repeat(4)}`));
    expect(FAULT.reserved(words)).toEqual([
      { msb: 24, lsb: 24, value: 1n },
      { msb: 34, lsb: 34, value: 1n },
      { msb: 41, lsb: 41, value: 1n },
    ]);
  });

  test('names', () => {
    expect([0, 1, 2, 3, -1].map(faultName)).toEqual(['UNKNOWN', 'DOMAIN', 'MAPPING', 'UNKNOWN', 'ABORT']);
  });
});

describe('PROBE properties', () => {
  test('RESV_MEM as QEMU answers Linux in capture E', () => {
    const words = bytesToWords(hexToBytes('01001400' + '01000000' + '0000e0fe00000000' + 'ffffeffe00000000'));
    expect(PROPERTY_HEADER.decode(words)).toEqual({ type: 1, length: 20 });
    expect(RESV_MEM.decode(words)).toEqual({ type: 1, length: 20, subtype: 1, start: 0xfee00000n, end: 0xfeefffffn });
    expect(RESV_MEM.reserved(words)).toEqual([]);
    expect(RESV_MEM.bytes).toBe(24);
  });

  test('the type has 12 bits; the four above are reserved', () => {
    const words = bytesToWords(hexToBytes('0180ff00'));
    expect(PROPERTY_HEADER.decode(words)).toEqual({ type: 1, length: 255 });
    expect(PROPERTY_HEADER.reserved(words)).toEqual([{ msb: 15, lsb: 15, value: 1n }]);
  });
});
