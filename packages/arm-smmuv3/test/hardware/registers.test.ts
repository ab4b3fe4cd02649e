import { describe, expect, test } from 'vitest';
import { CMDQ, EVENTQ, SmmuBoard, STRTAB } from './board.ts';

describe('identification, IHI 0070 6.3.1', () => {
  test('the default unit, worked by hand', () => {
    const board = new SmmuBoard();
    // S2P S1P TTF=2 COHACC HYP ASID16 MSI SEV VMW VMID16 CD2L TTENDIAN=2 STALL_MODEL=1 TERM_MODEL ST_LEVEL=1
    expect(board.get('IDR0')).toBe(0x0d4e_721bn);
    // SIDSIZE=16 SSIDSIZE=16 EVENTQS=10 CMDQS=12 ATTR_PERMS_OVR ATTR_TYPES_OVR
    expect(board.get('IDR1')).toBe(0x0d8a_0410n);
    // HAD XNX FWB RIL BBML=1
    expect(board.get('IDR3')).toBe(0x0d14n);
    // OAS=48 and three granules
    expect(board.get('IDR5')).toBe(0x75n);
    expect(board.get('AIDR')).toBe(2n);
  });

  test('mixtures the manual forbids are refused', () => {
    const refused = [
      { s1: false, s2: false },
      { oas: 52, granules: [12] },
      { va52: true, granules: [12, 14] },
      { sidBits: 7, twoLevelStreams: false },
      { ssidBits: 21 },
      { oas: 47 },
      { cmdqLg2: 20 },
    ];
    for (const config of refused) expect(() => new SmmuBoard(config)).toThrow(RangeError);
  });

  test('identification registers cannot be written', () => {
    const board = new SmmuBoard();
    board.set('IDR0', 0n);
    expect(board.get('IDR0')).toBe(0x0d4e_721bn);
  });
});

describe('enables and their acknowledgement', () => {
  test('CR0 shows at once, CR0ACK when the change has taken effect', () => {
    const board = new SmmuBoard();
    board.holdWork = true;
    board.set('CR0', 0xdn);
    expect([board.get('CR0'), board.get('CR0ACK')]).toEqual([0xdn, 0n]);
    expect(board.dma(0, 0x1000n).outcome).toBe('bypass');
    board.runWork();
    expect(board.get('CR0ACK')).toBe(0xdn);
    expect(board.dma(0, 0x1000n).outcome).toBe('fault');
  });

  test('bits of features that are not there never appear', () => {
    const board = new SmmuBoard();
    board.set('CR0', 0xffff_ffffn);
    // No PRI, ATS or DPT; VMW is there with stage 2.
    expect(board.get('CR0ACK')).toBe(0x1cdn);
    const stage1 = new SmmuBoard({ s2: false });
    stage1.set('CR0', 0xffff_ffffn);
    expect(stage1.get('CR0ACK')).toBe(0xdn);
  });

  test('IRQ_CTRL has the same handshake', () => {
    const board = new SmmuBoard();
    board.holdWork = true;
    board.set('IRQ_CTRL', 0xffn);
    expect([board.get('IRQ_CTRL'), board.get('IRQ_CTRLACK')]).toEqual([7n, 0n]);
    board.runWork();
    expect(board.get('IRQ_CTRLACK')).toBe(7n);
  });
});

describe('guards of IHI 0070 6.3', () => {
  const guarded = [
    ['STRTAB_BASE', STRTAB, 1n],
    ['STRTAB_BASE_CFG', 6n, 1n],
    ['CR2', 2n, 1n],
    ['CMDQ_BASE', CMDQ, 8n],
    ['CMDQ_CONS', 5n, 8n],
    ['EVENTQ_BASE', EVENTQ, 4n],
    ['EVENTQ_PROD', 5n, 4n],
  ] as const;

  test.each(guarded)('%s', (name, value, enable) => {
    const board = new SmmuBoard();
    board.set(name, value);
    if (name === 'CMDQ_CONS') board.set('CMDQ_PROD', value);
    board.set('CR0', enable);
    board.set(name, 0n);
    expect(board.get(name)).toBe(value);
    // Off again, but not acknowledged yet: still guarded.
    board.holdWork = true;
    board.set('CR0', 0n);
    board.set(name, 0n);
    expect(board.get(name)).toBe(value);
    board.runWork();
    board.set(name, 0n);
    expect(board.get(name)).toBe(0n);
  });

  test('the halves of CR1 are guarded apart', () => {
    const board = new SmmuBoard();
    board.set('CR1', 0xd75n);
    board.set('CR0', 1n);
    board.set('CR1', 0n);
    expect(board.get('CR1')).toBe(0xd40n);
    board.set('CR0', 4n);
    board.set('CR1', 0x3fn);
    expect(board.get('CR1')).toBe(0n);
  });

  test.each([
    ['GERROR_IRQ_CFG0', 1n],
    ['EVENTQ_IRQ_CFG0', 4n],
  ] as const)('%s while its interrupt is enabled', (name, enable) => {
    const board = new SmmuBoard();
    board.set(name, 0x1234_5678n);
    board.set('IRQ_CTRL', enable);
    board.set(name, 0n);
    expect(board.get(name)).toBe(0x1234_5678n);
  });

  test('page-1 registers are not in page 0, and odd sizes and places do nothing', () => {
    const board = new SmmuBoard();
    board.set('EVENTQ_CONS', 3n);
    expect(board.hardware.mmio.read32(0xac)).toBe(0);
    board.hardware.mmio.write8(0x20, 1);
    board.hardware.mmio.write16(0x20, 1);
    board.hardware.mmio.write32(0x22, 1);
    board.hardware.mmio.write32(0x40000000, 1);
    expect(board.get('CR0')).toBe(0n);
    expect(board.hardware.mmio.read32(0x30)).toBe(0);
  });
});

describe('GBPA', () => {
  test('a write needs Update, and lasts until Update reads 0', () => {
    const board = new SmmuBoard();
    expect(board.get('GBPA')).toBe(0x1000n);
    board.set('GBPA', 0x0010_1000n);
    expect(board.get('GBPA')).toBe(0x1000n);
    board.holdWork = true;
    board.set('GBPA', 0x8010_1000n);
    expect(board.get('GBPA')).toBe(0x8010_1000n);
    board.set('GBPA', 0x8000_1000n);
    expect(board.get('GBPA')).toBe(0x8010_1000n);
    board.runWork();
    expect(board.get('GBPA')).toBe(0x0010_1000n);
  });

  test('SMMUEN = 0: bypass within OAS, or abort; never a record', () => {
    const board = new SmmuBoard({ oas: 40 });
    board.queues();
    board.set('CR0', 0xcn);
    expect(board.dma(9, 0xff_ffff_fff8n, { pasid: 3 })).toMatchObject({
      outcome: 'bypass',
      pa: 0xff_ffff_fff8n,
      rights: 3,
    });
    expect(board.dma(9, 0x100_0000_0000n)).toEqual({ outcome: 'fault', event: 'ABORT', record: [] });
    board.set('GBPA', 0x8010_0000n);
    expect(board.dma(9, 0x1000n)).toEqual({ outcome: 'fault', event: 'ABORT', record: [] });
    expect(board.get('EVENTQ_PROD')).toBe(0n);
    // A kind of request that this unit does not take is none in any state.
    expect(board.dma(9, 0x1000n, { kind: 1 })).toMatchObject({ event: 'F_UUT' });
  });
});

describe('reset', () => {
  test('registers, caches and errors are as after power-on', () => {
    const board = SmmuBoard.running();
    board.ste(0, { V: true, Config: 4 });
    expect(board.dma(0, 0x1000n).outcome).toBe('bypass');
    board.raw([0xff, 0, 0, 0]);
    expect(board.get('GERROR')).toBe(1n);
    board.hardware.reset();
    expect(['CR0', 'CR0ACK', 'GERROR', 'CMDQ_PROD', 'STRTAB_BASE'].map((n) => board.get(n as 'CR0'))).toEqual([
      0n,
      0n,
      0n,
      0n,
      0n,
    ]);
    expect(board.get('GBPA')).toBe(0x1000n);
    board.ste(0, { V: true, Config: 0 });
    board.set('STRTAB_BASE', STRTAB);
    board.set('STRTAB_BASE_CFG', 6n);
    board.set('CR0', 1n);
    expect(board.dma(0, 0x1000n).event).toBe('ABORT');
  });

  test('SMMUEN 1 to 0 and back keeps what is cached', () => {
    const board = SmmuBoard.running();
    board.ste(0, { V: true, Config: 4 });
    expect(board.dma(0, 0x1000n).outcome).toBe('bypass');
    board.ste(0, { V: true, Config: 0 });
    board.set('CR0', 0xcn);
    board.set('CR0', 0xdn);
    expect(board.dma(0, 0x1000n).outcome).toBe('bypass');
  });
});
