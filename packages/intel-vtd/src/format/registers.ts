import { addr, big, flag, layout, type RegisterDeclaration, uint } from '@iommukit/bits';

/**
 * The register frame, VT-d 11.4: where each register lies and which of its bits software may write. `feature` names
 * the CAP/ECAP bit without which the register does not exist (reads 0, ignores writes). The IOTLB registers (IVA and,
 * 8 bytes on, IOTLB) and the fault records lie where CAP.FRO and ECAP.IRO say and are therefore not in the table.
 */
export interface VtdRegister extends RegisterDeclaration {
  readonly feature?: `CAP.${string}` | `ECAP.${string}`;
}

export const FRAME_BYTES = 0x1000;

const IM_RESET = 0x8000_0000n;
const INTERRUPT_MASK = 0x8000_0000n;
const MESSAGE_ADDRESS = 0xffff_fffcn;
const MESSAGE_DATA = 0xffffn;
const MESSAGE_UPPER = 0xffff_ffffn;

export const REGISTERS = {
  VER: { at: 0x00, size: 4 },
  CAP: { at: 0x08, size: 8 },
  ECAP: { at: 0x10, size: 8 },
  GCMD: { at: 0x18, size: 4, writable: 0xff80_0000n, writeOnly: true },
  GSTS: { at: 0x1c, size: 4 },
  RTADDR: { at: 0x20, size: 8, writable: 0xffff_ffff_ffff_fc80n },
  CCMD: { at: 0x28, size: 8, writable: 0xe000_0003_ffff_ffffn },
  FSTS: { at: 0x34, size: 4, clearOnOne: 0x71n },
  FECTL: { at: 0x38, size: 4, reset: IM_RESET, writable: INTERRUPT_MASK },
  FEDATA: { at: 0x3c, size: 4, writable: MESSAGE_DATA },
  FEADDR: { at: 0x40, size: 4, writable: MESSAGE_ADDRESS },
  FEUADDR: { at: 0x44, size: 4, writable: MESSAGE_UPPER, feature: 'ECAP.EIM' },
  PMEN: { at: 0x64, size: 4, writable: 0x8000_0000n },
  PLMBASE: { at: 0x68, size: 4, writable: 0xffe0_0000n, feature: 'CAP.PLMR' },
  PLMLIMIT: { at: 0x6c, size: 4, writable: 0xffe0_0000n, feature: 'CAP.PLMR' },
  PHMBASE: { at: 0x70, size: 8, writable: 0xffff_ffff_ffe0_0000n, feature: 'CAP.PHMR' },
  PHMLIMIT: { at: 0x78, size: 8, writable: 0xffff_ffff_ffe0_0000n, feature: 'CAP.PHMR' },
  IQH: { at: 0x80, size: 8, feature: 'ECAP.QI' },
  IQT: { at: 0x88, size: 8, writable: 0x7_fff0n, feature: 'ECAP.QI' },
  IQA: { at: 0x90, size: 8, writable: 0xffff_ffff_ffff_f807n, feature: 'ECAP.QI' },
  ICS: { at: 0x9c, size: 4, clearOnOne: 0x1n, feature: 'ECAP.QI' },
  IECTL: { at: 0xa0, size: 4, reset: IM_RESET, writable: INTERRUPT_MASK, feature: 'ECAP.QI' },
  IEDATA: { at: 0xa4, size: 4, writable: MESSAGE_DATA, feature: 'ECAP.QI' },
  IEADDR: { at: 0xa8, size: 4, writable: MESSAGE_ADDRESS, feature: 'ECAP.QI' },
  IEUADDR: { at: 0xac, size: 4, writable: MESSAGE_UPPER, feature: 'ECAP.EIM' },
  IQERCD: { at: 0xb0, size: 8, feature: 'ECAP.QI' },
  IRTA: { at: 0xb8, size: 8, writable: 0xffff_ffff_ffff_f80fn, feature: 'ECAP.IR' },
  PQH: { at: 0xc0, size: 8, writable: 0x7_ffe0n, feature: 'ECAP.PRS' },
  PQT: { at: 0xc8, size: 8, writable: 0x7_ffe0n, feature: 'ECAP.PRS' },
  PQA: { at: 0xd0, size: 8, writable: 0xffff_ffff_ffff_f007n, feature: 'ECAP.PRS' },
  PRS: { at: 0xdc, size: 4, clearOnOne: 0x3n, feature: 'ECAP.PRS' },
  PECTL: { at: 0xe0, size: 4, reset: IM_RESET, writable: INTERRUPT_MASK, feature: 'ECAP.PRS' },
  PEDATA: { at: 0xe4, size: 4, writable: MESSAGE_DATA, feature: 'ECAP.PRS' },
  PEADDR: { at: 0xe8, size: 4, writable: MESSAGE_ADDRESS, feature: 'ECAP.PRS' },
  PEUADDR: { at: 0xec, size: 4, writable: MESSAGE_UPPER, feature: 'ECAP.PRS' },
} as const satisfies Record<string, VtdRegister>;

export type RegisterName = keyof typeof REGISTERS;

/** IVA at `ECAP.IRO * 16`, IOTLB 8 bytes after it. */
export const IVA_WRITABLE = 0xffff_ffff_ffff_f07fn;
export const IOTLB_WRITABLE = 0xb003_ffff_0000_0000n;
export const IOTLB_AFTER_IVA = 8;
/** One fault record register every 16 bytes from `CAP.FRO * 16`. Bit 127 (F) is cleared by writing one. */
export const FRCD_BYTES = 16;

export const VER = layout('VER_REG', 'VT-d 11.4.1', 32, { MIN: uint(3, 0), MAX: uint(7, 4) });

export const GCMD = layout('GCMD_REG', 'VT-d 11.4.4.1', 32, {
  CFI: flag(23),
  SIRTP: flag(24),
  IRE: flag(25),
  QIE: flag(26),
  WBF: flag(27),
  SRTP: flag(30),
  TE: flag(31),
});

export const GSTS = layout('GSTS_REG', 'VT-d 11.4.4.2', 32, {
  CFIS: flag(23),
  IRTPS: flag(24),
  IRES: flag(25),
  QIES: flag(26),
  WBFS: flag(27),
  RTPS: flag(30),
  TES: flag(31),
});

/** GSTS bits that a read-modify-write of GCMD keeps: everything but the one-shot commands. */
export const GCMD_KEEP = 0x96ff_ffff;

export const RTADDR = layout('RTADDR_REG', 'VT-d 11.4.5', 64, {
  SSIRWE: flag(7),
  TTM: uint(11, 10, { 0: 'LEGACY', 1: 'SCALABLE', 2: 'RESERVED', 3: 'ABORT_DMA' }),
  RTA: addr(63, 12),
});
export const TTM = { LEGACY: 0, SCALABLE: 1, RESERVED: 2, ABORT_DMA: 3 } as const;

export const CCMD = layout('CCMD_REG', 'VT-d 11.4.6.1', 64, {
  DID: uint(15, 0),
  SID: uint(31, 16),
  FM: uint(33, 32),
  CAIG: uint(60, 59),
  CIRG: uint(62, 61),
  ICC: flag(63),
});

export const IVA = layout('IVA_REG', 'VT-d 11.4.6.2', 64, { AM: uint(5, 0), IH: flag(6), ADDR: addr(63, 12) });

export const IOTLB = layout('IOTLB_REG', 'VT-d 11.4.6.2', 64, {
  DID: uint(47, 32),
  DW: flag(48),
  DR: flag(49),
  IAIG: uint(58, 57),
  IIRG: uint(61, 60),
  IVT: flag(63),
});

export const FSTS = layout('FSTS_REG', 'VT-d 11.4.7.1', 32, {
  PFO: flag(0),
  PPF: flag(1),
  IQE: flag(4),
  ICE: flag(5),
  ITE: flag(6),
  FRI: uint(15, 8),
});

/** FECTL, IECTL and PECTL share one form. */
export const EVENT_CONTROL = layout('FECTL_REG', 'VT-d 11.4.7.2', 32, { IP: flag(30), IM: flag(31) });

export const PMEN = layout('PMEN_REG', 'VT-d 11.4.8.1', 32, { PRS: flag(0), EPM: flag(31) });

export const IQH = layout('IQH_REG', 'VT-d 11.4.9.1', 64, { QH: addr(18, 4) });
export const IQT = layout('IQT_REG', 'VT-d 11.4.9.2', 64, { QT: addr(18, 4) });
export const IQA = layout('IQA_REG', 'VT-d 11.4.9.3', 64, { QS: uint(2, 0), DW: flag(11), IQA: addr(63, 12) });
export const ICS = layout('ICS_REG', 'VT-d 11.4.9.4', 32, { IWC: flag(0) });

export const IQERCD = layout('IQERCD_REG', 'VT-d 11.4.9.9', 64, {
  IQEI: uint(3, 0, {
    0: 'NONE',
    1: 'TAIL_BEYOND_QUEUE',
    2: 'FETCH_FAILED',
    3: 'BAD_TYPE',
    4: 'RESERVED_FIELD',
    5: 'WRONG_WIDTH',
    6: 'TAIL_MISALIGNED',
    7: 'RESERVED_TTM',
  }),
  ITESID: uint(47, 32),
  ICESID: uint(63, 48),
});
export const IQEI = {
  NONE: 0,
  TAIL_BEYOND_QUEUE: 1,
  FETCH_FAILED: 2,
  BAD_TYPE: 3,
  RESERVED_FIELD: 4,
  WRONG_WIDTH: 5,
  TAIL_MISALIGNED: 6,
  RESERVED_TTM: 7,
} as const;

export const IRTA = layout('IRTA_REG', 'VT-d 11.4.10', 64, { S: uint(3, 0), EIME: flag(11), IRTA: addr(63, 12) });

export const PQA = layout('PQA_REG', 'VT-d 11.4.11.3', 64, { PQS: uint(2, 0), PQA: addr(63, 12) });
export const PRS = layout('PRS_REG', 'VT-d 11.4.11.4', 32, { PPR: flag(0), PRO: flag(1) });
/** Byte offset in a queue register, as PQH and PQT hold it. */
export const PQ_OFFSET = big(18, 5);
