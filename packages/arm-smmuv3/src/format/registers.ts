import { addr, flag, layout, type RegisterTable, uint } from '@iommukit/bits';

/** Page 0 at offset 0, page 1 at 0x10000, each 64 KiB. IHI 0070 6.1 and 6.2. */
export const FRAME_BYTES = 0x20000;
export const PAGE1 = 0x10000;

/**
 * The Non-secure register frame. `guard` names the condition of section 6.3 without which a write is ignored; fields
 * whose guard covers only part of a register (CR1) and handshakes (ACK, Update) are effects of the model.
 */
export const REGISTERS = {
  IDR0: { at: 0x000, size: 4 },
  IDR1: { at: 0x004, size: 4 },
  IDR2: { at: 0x008, size: 4 },
  IDR3: { at: 0x00c, size: 4 },
  IDR4: { at: 0x010, size: 4 },
  IDR5: { at: 0x014, size: 4 },
  IIDR: { at: 0x018, size: 4 },
  AIDR: { at: 0x01c, size: 4 },
  CR0: { at: 0x020, size: 4, writable: 0x0000_05dfn },
  CR0ACK: { at: 0x024, size: 4 },
  CR1: { at: 0x028, size: 4, writable: 0x0000_0fffn },
  CR2: { at: 0x02c, size: 4, writable: 0x0000_000fn, guard: 'disabled' },
  STATUSR: { at: 0x040, size: 4 },
  GBPA: { at: 0x044, size: 4, reset: 0x0000_1000n, writable: 0x801f_3f1fn, guard: 'gbpa' },
  AGBPA: { at: 0x048, size: 4 },
  IRQ_CTRL: { at: 0x050, size: 4, writable: 0x0000_0007n },
  IRQ_CTRLACK: { at: 0x054, size: 4 },
  GERROR: { at: 0x060, size: 4 },
  GERRORN: { at: 0x064, size: 4, writable: 0x0000_07fdn },
  GERROR_IRQ_CFG0: { at: 0x068, size: 8, writable: 0x00ff_ffff_ffff_fffcn, guard: 'gerrorIrqOff' },
  GERROR_IRQ_CFG1: { at: 0x070, size: 4, writable: 0xffff_ffffn, guard: 'gerrorIrqOff' },
  GERROR_IRQ_CFG2: { at: 0x074, size: 4, writable: 0x0000_003fn, guard: 'gerrorIrqOff' },
  STRTAB_BASE: { at: 0x080, size: 8, writable: 0x40ff_ffff_ffff_ffc0n, guard: 'disabled' },
  STRTAB_BASE_CFG: { at: 0x088, size: 4, writable: 0x0003_07ffn, guard: 'disabled' },
  CMDQ_BASE: { at: 0x090, size: 8, writable: 0x40ff_ffff_ffff_ffffn, guard: 'cmdqOff' },
  CMDQ_PROD: { at: 0x098, size: 4, writable: 0x000f_ffffn },
  CMDQ_CONS: { at: 0x09c, size: 4, writable: 0x7f0f_ffffn, guard: 'cmdqOff' },
  EVENTQ_BASE: { at: 0x0a0, size: 8, writable: 0x40ff_ffff_ffff_ffffn, guard: 'eventqOff' },
  EVENTQ_IRQ_CFG0: { at: 0x0b0, size: 8, writable: 0x00ff_ffff_ffff_fffcn, guard: 'eventqIrqOff' },
  EVENTQ_IRQ_CFG1: { at: 0x0b8, size: 4, writable: 0xffff_ffffn, guard: 'eventqIrqOff' },
  EVENTQ_IRQ_CFG2: { at: 0x0bc, size: 4, writable: 0x0000_003fn, guard: 'eventqIrqOff' },
  PRIQ_BASE: { at: 0x0c0, size: 8, writable: 0x40ff_ffff_ffff_ffffn, guard: 'priqOff' },
  PRIQ_IRQ_CFG0: { at: 0x0d0, size: 8, writable: 0x00ff_ffff_ffff_fffcn, guard: 'priqIrqOff' },
  PRIQ_IRQ_CFG1: { at: 0x0d8, size: 4, writable: 0xffff_ffffn, guard: 'priqIrqOff' },
  PRIQ_IRQ_CFG2: { at: 0x0dc, size: 4, writable: 0x8000_003fn, guard: 'priqIrqOff' },
  EVENTQ_PROD: { at: 0x100a8, size: 4, writable: 0x800f_ffffn, guard: 'eventqOff' },
  EVENTQ_CONS: { at: 0x100ac, size: 4, writable: 0x800f_ffffn },
  PRIQ_PROD: { at: 0x100c8, size: 4, writable: 0x800f_ffffn, guard: 'priqOff' },
  PRIQ_CONS: { at: 0x100cc, size: 4, writable: 0x800f_ffffn },
} as const satisfies RegisterTable;

export type RegisterName = keyof typeof REGISTERS;

export const IDR0 = layout('IDR0', 'IHI 0070 6.3.1', 32, {
  S2P: flag(0),
  S1P: flag(1),
  TTF: uint(3, 2, { 1: 'AArch32', 2: 'AArch64', 3: 'both' }),
  COHACC: flag(4),
  BTM: flag(5),
  HTTU: uint(7, 6, { 0: 'none', 1: 'AF', 2: 'AF+dirty', 3: 'AF+dirty+table' }),
  DORMHINT: flag(8),
  HYP: flag(9),
  ATS: flag(10),
  NS1ATS: flag(11),
  ASID16: flag(12),
  MSI: flag(13),
  SEV: flag(14),
  ATOS: flag(15),
  PRI: flag(16),
  VMW: flag(17),
  VMID16: flag(18),
  CD2L: flag(19),
  VATOS: flag(20),
  TTENDIAN: uint(22, 21, { 0: 'mixed', 2: 'little', 3: 'big' }),
  ATSRECERR: flag(23),
  STALL_MODEL: uint(25, 24, { 0: 'stall+terminate', 1: 'terminate', 2: 'stall' }),
  TERM_MODEL: flag(26),
  ST_LEVEL: uint(28, 27, { 0: 'linear', 1: '2-level' }),
  RME_IMPL: flag(30),
});

export const IDR1 = layout('IDR1', 'IHI 0070 6.3.2', 32, {
  SIDSIZE: uint(5, 0),
  SSIDSIZE: uint(10, 6),
  PRIQS: uint(15, 11),
  EVENTQS: uint(20, 16),
  CMDQS: uint(25, 21),
  ATTR_PERMS_OVR: flag(26),
  ATTR_TYPES_OVR: flag(27),
  REL: flag(28),
  QUEUES_PRESET: flag(29),
  TABLES_PRESET: flag(30),
  ECMDQ: flag(31),
});

export const IDR2 = layout('IDR2', 'IHI 0070 6.3.3', 32, { BA_VATOS: uint(9, 0) });

export const IDR3 = layout('IDR3', 'IHI 0070 6.3.4', 32, {
  HAD: flag(2),
  PBHA: flag(3),
  XNX: flag(4),
  PPS: flag(5),
  MPAM: flag(7),
  FWB: flag(8),
  STT: flag(9),
  RIL: flag(10),
  BBML: uint(12, 11),
  E0PD: flag(13),
  PTWNNC: flag(14),
  DPT: flag(15),
  PASIDTT: flag(16),
  EPAN: flag(17),
  S1PI: flag(18),
  S2PI: flag(19),
  S2PO: flag(20),
  THE: flag(21),
  MTEPERM: flag(22),
  AIE: flag(23),
});

export const IDR5 = layout('IDR5', 'IHI 0070 6.3.6', 32, {
  OAS: uint(2, 0, { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52', 7: '56' }),
  GRAN4K: flag(4),
  GRAN16K: flag(5),
  GRAN64K: flag(6),
  DS: flag(7),
  D128: flag(8),
  VAX: uint(11, 10, { 0: '48', 1: '52', 2: '56' }),
  STALL_MAX: uint(31, 16),
});

export const IIDR = layout('IIDR', 'IHI 0070 6.3.7', 32, {
  Implementer: uint(11, 0),
  Revision: uint(15, 12),
  Variant: uint(19, 16),
  ProductID: uint(31, 20),
});

export const AIDR = layout('AIDR', 'IHI 0070 6.3.8', 32, {
  ArchMinorRev: uint(3, 0),
  ArchMajorRev: uint(7, 4),
});

/** CR0 and CR0ACK have the same fields. */
export const CR0 = layout('CR0', 'IHI 0070 6.3.9', 32, {
  SMMUEN: flag(0),
  PRIQEN: flag(1),
  EVENTQEN: flag(2),
  CMDQEN: flag(3),
  ATSCHK: flag(4),
  VMW: uint(8, 6),
  DPT_WALK_EN: flag(10),
});

export const CR1 = layout('CR1', 'IHI 0070 6.3.11', 32, {
  QUEUE_IC: uint(1, 0),
  QUEUE_OC: uint(3, 2),
  QUEUE_SH: uint(5, 4),
  TABLE_IC: uint(7, 6),
  TABLE_OC: uint(9, 8),
  TABLE_SH: uint(11, 10),
});

export const CR2 = layout('CR2', 'IHI 0070 6.3.12', 32, {
  E2H: flag(0),
  RECINVSID: flag(1),
  PTM: flag(2),
  REC_CFG_ATS: flag(3),
});

export const GBPA = layout('GBPA', 'IHI 0070 6.3.14', 32, {
  MemAttr: uint(3, 0),
  MTCFG: flag(4),
  ALLOCCFG: uint(11, 8),
  SHCFG: uint(13, 12, { 0: 'NSH', 1: 'incoming', 2: 'OSH', 3: 'ISH' }),
  PRIVCFG: uint(17, 16),
  INSTCFG: uint(19, 18),
  ABORT: flag(20),
  Update: flag(31),
});

export const IRQ_CTRL = layout('IRQ_CTRL', 'IHI 0070 6.3.16', 32, {
  GERROR_IRQEN: flag(0),
  PRIQ_IRQEN: flag(1),
  EVENTQ_IRQEN: flag(2),
});

/** GERROR and GERRORN have the same fields; an error is active while its two bits differ. */
export const GERROR = layout('GERROR', 'IHI 0070 6.3.18', 32, {
  CMDQ_ERR: flag(0),
  EVENTQ_ABT_ERR: flag(2),
  PRIQ_ABT_ERR: flag(3),
  MSI_CMDQ_ABT_ERR: flag(4),
  MSI_EVENTQ_ABT_ERR: flag(5),
  MSI_PRIQ_ABT_ERR: flag(6),
  MSI_GERROR_ABT_ERR: flag(7),
  SFM_ERR: flag(8),
  CMDQP_ERR: flag(9),
  DPT_ERR: flag(10),
});

export const IRQ_CFG0 = layout('IRQ_CFG0', 'IHI 0070 6.3.20', 64, { ADDR: addr(55, 2) });
export const IRQ_CFG1 = layout('IRQ_CFG1', 'IHI 0070 6.3.21', 32, { DATA: uint(31, 0) });
export const IRQ_CFG2 = layout('IRQ_CFG2', 'IHI 0070 6.3.22', 32, {
  MemAttr: uint(3, 0),
  SH: uint(5, 4),
  /** PRIQ only: interrupt on Last instead of on non-empty. */
  LO: flag(31),
});

export const STRTAB_BASE = layout('STRTAB_BASE', 'IHI 0070 6.3.23', 64, { ADDR: addr(55, 6), RA: flag(62) });

export const STRTAB_BASE_CFG = layout('STRTAB_BASE_CFG', 'IHI 0070 6.3.24', 32, {
  LOG2SIZE: uint(5, 0),
  SPLIT: uint(10, 6),
  FMT: uint(17, 16, { 0: 'linear', 1: '2-level' }),
});

/** CMDQ_BASE, EVENTQ_BASE and PRIQ_BASE; bit 62 is RA for commands, WA for the two output queues. */
export const QUEUE_BASE = layout('QUEUE_BASE', 'IHI 0070 6.3.25', 64, {
  LOG2SIZE: uint(4, 0),
  ADDR: addr(55, 5),
  RA_WA: flag(62),
});

export const CMDQ_PROD = layout('CMDQ_PROD', 'IHI 0070 6.3.26', 32, { WR: uint(19, 0) });
export const CMDQ_CONS = layout('CMDQ_CONS', 'IHI 0070 6.3.27', 32, {
  RD: uint(19, 0),
  ERR: uint(30, 24, { 0: 'CERROR_NONE', 1: 'CERROR_ILL', 2: 'CERROR_ABT', 3: 'CERROR_ATC_INV_SYNC' }),
});

/** EVENTQ_PROD and PRIQ_PROD. */
export const QUEUE_PROD = layout('QUEUE_PROD', 'IHI 0070 6.3.29', 32, { WR: uint(19, 0), OVFLG: flag(31) });
/** EVENTQ_CONS and PRIQ_CONS. */
export const QUEUE_CONS = layout('QUEUE_CONS', 'IHI 0070 6.3.30', 32, { RD: uint(19, 0), OVACKFLG: flag(31) });

/** Codes of CMDQ_CONS.ERR (IHI 0070 7.1). */
export const CERROR = { NONE: 0, ILL: 1, ABT: 2, ATC_INV_SYNC: 3 } as const;

/** Output address width in bits by the code of IDR5.OAS, CD.IPS and STE.S2PS; reserved codes act as the widest. */
export const ADDRESS_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 52, 56];

/** Names of the wired interrupts, as firmware tables give them. */
export const INTERRUPT = { EVENTQ: 'eventq', PRIQ: 'priq', CMDQ_SYNC: 'cmdq-sync', GERROR: 'gerror' } as const;
