import { bytesToHex, bytesToWords, hexToBytes, wordsToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import {
  ATTACH,
  ATTACH_WORD,
  DETACH,
  DETACH_WORD,
  MAP,
  MAP_WORD,
  PROBE,
  PROBE_WORD,
  TAIL,
  UNMAP,
  UNMAP_WORD,
} from '../../src/format/requests.ts';

/** Bytes of a real Linux driver, capture E (see the fixture's README); what they mean is written down beside them. */
const FROM_LINUX = {
  // seq 17: ATTACH of 00:00.0 to domain 1
  attach: '0100000001000000000000000000000000000000',
  // seq 18: ATTACH of 00:02.0 (0x10) to domain 2
  attachSecond: '0100000002000000100000000000000000000000',
  // seq 39: UNMAP 0xffffd000..0xffffdfff in domain 15
  unmap: '040000000f00000000d0ffff00000000ffdfffff0000000000000000',
};

/** Byte offsets by hand from virtio 1.3 §5.13.6: domain 4, virt_start 8, virt_end 16, phys_start 24, flags 32. */
const MAP_BY_HAND =
  '03000000' + // type
  '44332211' + // domain 0x11223344
  '00f0efcdab896745' + // virt_start 0x456789abcdeff000
  'ffffffffffffffff' + // virt_end
  '0010325476980000' + // phys_start 0x0000987654321000
  '05000000'; // READ | MMIO

const hex = (words: Uint32Array) => bytesToHex(wordsToBytes(words));

describe('requests stand where the manual puts them', () => {
  test('ATTACH, as Linux writes it', () => {
    expect(hex(ATTACH.encode({ type: 1, domain: 1, endpoint: 0 }))).toBe(FROM_LINUX.attach);
    expect(hex(ATTACH.encode({ type: 1, domain: 2, endpoint: 0x10 }))).toBe(FROM_LINUX.attachSecond);
    expect(ATTACH.decode(bytesToWords(hexToBytes(FROM_LINUX.attachSecond)))).toEqual({
      type: 1,
      domain: 2,
      endpoint: 0x10,
      BYPASS: false,
    });
  });

  test('ATTACH: BYPASS is bit 0 of the word at byte 12; everything after it is reserved', () => {
    const words = bytesToWords(hexToBytes('01aabbcc' + '07000000' + '18000000' + '01000000' + '00000000'));
    expect(ATTACH.decode(words)).toEqual({ type: 1, domain: 7, endpoint: 0x18, BYPASS: true });
    expect(ATTACH.reserved(words)).toEqual([]); // the head's reserved bytes are ignored
    words[3] = 0x8000_0003;
    words[4] = 0x10;
    expect(ATTACH.reserved(words)).toEqual([
      { msb: 97, lsb: 97, value: 1n },
      { msb: 127, lsb: 127, value: 1n },
      { msb: 132, lsb: 132, value: 1n },
    ]);
  });

  test('DETACH ignores its last eight bytes', () => {
    const words = bytesToWords(hexToBytes('02000000' + '0a000000' + '00010000' + 'ffffffffffffffff'));
    expect(DETACH.decode(words)).toEqual({ type: 2, domain: 10, endpoint: 0x100 });
    expect(DETACH.reserved(words)).toEqual([]);
    expect(DETACH.bytes).toBe(20);
  });

  test('MAP', () => {
    const words = bytesToWords(hexToBytes(MAP_BY_HAND));
    expect(MAP.decode(words)).toEqual({
      type: 3,
      domain: 0x11223344,
      virt_start: 0x456789abcdeff000n,
      virt_end: 0xffff_ffff_ffff_ffffn,
      phys_start: 0x987654321000n,
      READ: true,
      WRITE: false,
      MMIO: true,
    });
    expect(hexToBytes(MAP_BY_HAND)).toHaveLength(MAP.bytes);
    expect([words[MAP_WORD.DOMAIN], words[MAP_WORD.FLAGS]]).toEqual([0x11223344, 5]);
    expect([words[MAP_WORD.VIRT_START], words[MAP_WORD.VIRT_START + 1]]).toEqual([0xcdeff000, 0x456789ab]);
    expect([words[MAP_WORD.PHYS_START], words[MAP_WORD.VIRT_END]]).toEqual([0x54321000, 0xffffffff]);
  });

  test('UNMAP, as Linux writes it', () => {
    const words = bytesToWords(hexToBytes(FROM_LINUX.unmap));
    const values = { type: 4, domain: 15, virt_start: 0xffffd000n, virt_end: 0xffffdfffn };
    expect(UNMAP.decode(words)).toEqual(values);
    expect(hex(UNMAP.encode(values))).toBe(FROM_LINUX.unmap);
    words[6] = 1;
    expect(UNMAP.reserved(words)).toEqual([{ msb: 192, lsb: 192, value: 1n }]);
    expect([UNMAP_WORD.RESERVED, UNMAP_WORD.VIRT_START, UNMAP_WORD.VIRT_END]).toEqual([6, 2, 4]);
  });

  test('PROBE: an endpoint and 64 bytes nobody looks at', () => {
    const words = new Uint32Array(18).fill(0xffff_ffff);
    words[0] = 5;
    words[1] = 0x8100;
    expect(PROBE.decode(words)).toEqual({ type: 5, endpoint: 0x8100 });
    expect(PROBE.reserved(words)).toEqual([]);
    expect(PROBE.bytes).toBe(72);
  });

  test('readable lengths are 20, 20, 36, 28 and 72 bytes; the tail is 4', () => {
    expect([ATTACH, DETACH, MAP, UNMAP, PROBE, TAIL].map(({ bytes }) => bytes)).toEqual([20, 20, 36, 28, 72, 4]);
  });

  test('word indices of the undecoded reader are those of the layouts', () => {
    const at = (field: { lsb: number }) => field.lsb / 32;
    expect([ATTACH_WORD.DOMAIN, ATTACH_WORD.ENDPOINT, ATTACH_WORD.FLAGS, ATTACH_WORD.RESERVED]).toEqual([1, 2, 3, 4]);
    expect([DETACH_WORD.DOMAIN, DETACH_WORD.ENDPOINT, PROBE_WORD.ENDPOINT]).toEqual([1, 2, 1]);
    expect([at(ATTACH.fields.endpoint), at(MAP.fields.phys_start), at(PROBE.fields.endpoint)]).toEqual([2, 6, 1]);
  });
});
