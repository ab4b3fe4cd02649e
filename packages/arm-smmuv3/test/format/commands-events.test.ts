import { bytesToWords, hexToBytes } from '@iommukit/bits';
import { describe, expect, test } from 'vitest';
import {
  CMD_ATC_INV,
  CMD_CFGI_STE_RANGE,
  CMD_PRI_RESP,
  CMD_RESUME,
  CMD_SYNC,
  CMD_TLBI_NH_VA,
  CMD_TLBI_S2_IPA,
  COMMANDS,
} from '../../src/format/commands.ts';
import { EVENTS, F_BAD_ATS_TREQ, F_PERMISSION, F_STE_FETCH, F_WALK_EABT } from '../../src/format/events.ts';
import { CR0, GBPA, IDR0, IDR1, IDR5, QUEUE_BASE, REGISTERS, STRTAB_BASE_CFG } from '../../src/format/registers.ts';

const raw = (hex: string) => bytesToWords(hexToBytes(hex));

describe('commands, IHI 0070 4', () => {
  test('as Linux 6.12 wrote them (capture b-stage2-4k-strict)', () => {
    expect(CMD_SYNC.decode(raw('4620c00f000000000000000000000000'))).toMatchObject({ CS: 2, MSH: 3, MSIAttr: 15 });
    expect(CMD_CFGI_STE_RANGE.decode(raw('04000000000000001f00000000000000'))).toMatchObject({
      StreamID: 0,
      Range: 31,
    });
  });

  test('TLBI_NH_VA with a range, worked by hand', () => {
    const words = CMD_TLBI_NH_VA.encode({
      Opcode: 0x12,
      NUM: 5,
      SCALE: 3,
      VMID: 0x1111,
      ASID: 0x2222,
      Leaf: true,
      TTL: 3,
      TG: 1,
      Address: 0xffff_8000_1234_5000n,
    });
    expect([...words]).toEqual([0x0030_5012, 0x2222_1111, 0x1234_5701, 0xffff_8000]);
  });

  test('TLBI_S2_IPA, RESUME, ATC_INV, PRI_RESP', () => {
    expect([...CMD_TLBI_S2_IPA.encode({ Opcode: 0x2a, VMID: 7, Address: 0xf_ffff_f000n })]).toEqual([
      0x2a, 7, 0xffff_f000, 0xf,
    ]);
    expect([...CMD_RESUME.encode({ Opcode: 0x44, Ac: true, StreamID: 9, STAG: 0xbeef })]).toEqual([
      0x1044, 9, 0xbeef, 0,
    ]);
    expect([...CMD_ATC_INV.encode({ Opcode: 0x40, SSV: true, SubstreamID: 0x12345, StreamID: 8, Size: 52 })]).toEqual([
      0x1234_5840, 8, 52, 0,
    ]);
    expect([...CMD_PRI_RESP.encode({ Opcode: 0x41, StreamID: 8, PRGIndex: 0x1ff, Resp: 2 })]).toEqual([
      0x41, 8, 0x21ff, 0,
    ]);
  });

  test('SYNC with a message', () => {
    const words = CMD_SYNC.encode({
      Opcode: 0x46,
      CS: 1,
      MSH: 3,
      MSIAttr: 15,
      MSIData: 0x55,
      MSIAddress: 0x80_0000_1004n,
    });
    expect([...words]).toEqual([0x0fc0_1046, 0x55, 0x1004, 0x80]);
  });

  test('opcodes stand at their numbers', () => {
    expect(COMMANDS[0x13]?.name).toBe('CMD_TLBI_NH_VAA');
    expect(COMMANDS[0x28]?.name).toBe('CMD_TLBI_S12_VMALL');
    expect(COMMANDS[0x30]?.name).toBe('CMD_TLBI_NSNH_ALL');
    expect(COMMANDS[0x45]?.name).toBe('CMD_STALL_TERM');
    expect(COMMANDS[0x14]).toBeUndefined();
  });
});

describe('events, IHI 0070 7.3', () => {
  test('F_PERMISSION at stage 2 on a table read, worked by hand', () => {
    const words = F_PERMISSION.encode({
      Type: 0x13,
      SSV: true,
      SubstreamID: 0x54321,
      StreamID: 0x100,
      PnU: true,
      RnW: true,
      S2: true,
      CLASS: 1,
      TTRnW: true,
      InputAddr: 0x1122_3344_5566_7788n,
      IPA: 0xab_cdef_1000n,
    });
    expect([...words]).toEqual([0x5432_1813, 0x100, 0, 0x0000_118a, 0x5566_7788, 0x1122_3344, 0xcdef_1000, 0xab]);
  });

  test('fetch faults carry bits 55:3 of the address', () => {
    expect([...F_STE_FETCH.encode({ Type: 3, StreamID: 5, FetchAddr: 0x00aa_0000_0000_0048n })]).toEqual([
      3, 5, 0, 0, 0, 0, 0x48, 0x00aa_0000,
    ]);
    expect([...F_WALK_EABT.encode({ Type: 0xb, CLASS: 1, FetchAddr: 8n })]).toEqual([0xb, 0, 0, 0x100, 0, 0, 8, 0]);
  });

  test('F_BAD_ATS_TREQ keeps the requested rights in 95:92', () => {
    expect([...F_BAD_ATS_TREQ.encode({ Type: 5, R: true, W: true, Span: 3, InputAddr: 0x1000n })]).toEqual([
      5, 0, 0xc000_0003, 0, 0x1000, 0, 0, 0,
    ]);
  });

  test('numbers', () => {
    expect(EVENTS[0x10]?.name).toBe('F_TRANSLATION');
    expect(EVENTS[0x0a]?.name).toBe('C_BAD_CD');
    expect(EVENTS[0x24]?.name).toBe('E_PAGE_REQUEST');
    expect(Object.keys(EVENTS)).toHaveLength(19);
  });
});

describe('registers, IHI 0070 6', () => {
  test('places', () => {
    expect(REGISTERS.STRTAB_BASE_CFG.at).toBe(0x88);
    expect(REGISTERS.EVENTQ_PROD.at).toBe(0x100a8);
    expect(REGISTERS.GERROR_IRQ_CFG0).toMatchObject({ at: 0x68, size: 8 });
  });

  test('identification fields at the manual’s bits', () => {
    expect(IDR0.encode({ S2P: true, S1P: true, TTF: 2, COHACC: true, ST_LEVEL: 1 })[0]).toBe(0x0800_001b);
    expect(IDR0.encode({ TTENDIAN: 2, STALL_MODEL: 1, TERM_MODEL: true, CD2L: true, VMID16: true })[0]).toBe(
      0x054c_0000,
    );
    expect(IDR1.encode({ SIDSIZE: 16, SSIDSIZE: 8, EVENTQS: 19, CMDQS: 19 })[0]).toBe(0x0273_0210);
    expect(IDR5.encode({ OAS: 4, GRAN4K: true, GRAN16K: true, GRAN64K: true })[0]).toBe(0x74);
  });

  test('control', () => {
    expect(CR0.encode({ SMMUEN: true, EVENTQEN: true, CMDQEN: true })[0]).toBe(0xd);
    expect(GBPA.encode({ ABORT: true, Update: true, SHCFG: 1 })[0]).toBe(0x8010_1000);
    expect(STRTAB_BASE_CFG.encode({ LOG2SIZE: 16, SPLIT: 8, FMT: 1 })[0]).toBe(0x0001_0210);
    expect([...QUEUE_BASE.encode({ LOG2SIZE: 16, ADDR: 0x4bb0_0000n, RA_WA: true })]).toEqual([
      0x4bb0_0010, 0x4000_0000,
    ]);
  });
});
