import { bytesToHex, bytesToWords, hexToBytes, wordsToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import {
  CC_INV_DSC,
  DESCRIPTORS,
  DEV_TLB_INV_DSC,
  HPT_INV_DSC,
  IEC_INV_DSC,
  INV_WAIT_DSC,
  IOTLB_INV_DSC,
  P_DEV_TLB_INV_DSC,
  P_IOTLB_INV_DSC,
  PAGE_GRP_RESP_DSC,
  PC_INV_DSC,
} from '../../src/format/index.ts';

const words = (hex: string) => bytesToWords(hexToBytes(hex));
const hex = (w: Uint32Array) => bytesToHex(wordsToBytes(w));

describe('descriptors as Linux 7.2 queued them (captures A and C)', () => {
  test('iotlb_inv_dsc: domain 15, 32 pages', () => {
    expect(IOTLB_INV_DSC.decode(words('f2000f00000000004500f0ff00000000'))).toMatchObject({
      G: 3,
      DW: true,
      DR: true,
      DID: 15,
      AM: 5,
      IH: true,
      ADDR: 0xfff0_0000n,
    });
  });

  test('inv_wait_dsc: status write of 2', () => {
    expect(INV_WAIT_DSC.decode(words('250000000200000004a8260500000000'))).toMatchObject({
      IF: false,
      SW: true,
      FN: false,
      STATUS_DATA: 2,
      STATUS_ADDR: 0x526_a804n,
    });
  });

  test('p_iotlb_inv_dsc and dev_tlb_inv_dsc of one unmap by 02:00.0', () => {
    const pasid = '36000d00000000004060e5ff0000000000000000000000000000000000000000';
    expect(P_IOTLB_INV_DSC.decode(words(pasid))).toMatchObject({ G: 3, DID: 13, PASID: 0, AM: 0, IH: true });
    expect(P_IOTLB_INV_DSC.get(words(pasid), 'ADDR')).toBe(0xffe5_6000n);
    const device = words('03000000000200000060e5ff00000000');
    expect(DEV_TLB_INV_DSC.decode(device)).toMatchObject({ SID: 0x200, S: false, ADDR: 0xffe5_6000n });
  });
});

describe('descriptors worked by hand from the bit positions', () => {
  test.each([
    ['cc', CC_INV_DSC.encode({ Type: 1, G: 3, DID: 2, SID: 0x1234, FM: 3 }), '31000200341203000000000000000000'],
    ['iec', IEC_INV_DSC.encode({ Type: 4, G: 1, IM: 2, IIDX: 0x55 }), '14000010550000000000000000000000'],
    [
      'dev tlb',
      DEV_TLB_INV_DSC.encode({ Type: 3, MIP: 31, 'PFSID[3:0]': 4, 'PFSID[15:4]': 0x123, S: true, ADDR: 0x1000n }),
      '03401f00000030120110000000000000',
    ],
    [
      'p dev tlb',
      P_DEV_TLB_INV_DSC.encode({ Type: 8, MIP: 31, SID: 0x200, PASID: 0x12345, GI: true, S: true, ADDR: 0x1000n }),
      `f80100024523010001180000${'0'.repeat(40)}`,
    ],
    ['pc', PC_INV_DSC.encode({ Type: 7, G: 1, DID: 3, PASID: 0xfffff }), `17000300ffff0f00${'0'.repeat(48)}`],
    [
      'page response',
      PAGE_GRP_RESP_DSC.encode({ Type: 9, PP: true, RC: 1, RID: 0x200, PASID: 1, PRGI: 0x1ff }),
      `1910000201000000f80f${'0'.repeat(44)}`,
    ],
    ['hpt', HPT_INV_DSC.encode({ Type: 10, G: 2, HPTDID: 7, AM: 1, IH: 3 }), `2a00070000000000c1${'0'.repeat(46)}`],
  ])('%s', (_title, got, want) => {
    expect(hex(got)).toBe(want);
  });

  test('types stand at their own number', () => {
    DESCRIPTORS.forEach((entry, type) => {
      if (entry) expect([entry.type, entry.layout.name]).toEqual([type, entry.name]);
    });
    expect(DESCRIPTORS.filter(Boolean)).toHaveLength(10);
  });
});
