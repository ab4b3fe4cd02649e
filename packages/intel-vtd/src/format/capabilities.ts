import { flag, layout, uint } from '@iommukit/bits';

/** Capability Register. MGAW, NFR are held minus one; FRO counts 16-byte units. */
export const CAP = layout('CAP_REG', 'VT-d 11.4.2', 64, {
  ND: uint(2, 0),
  RWBF: flag(4),
  PLMR: flag(5),
  PHMR: flag(6),
  CM: flag(7),
  SAGAW: uint(12, 8),
  MGAW: uint(21, 16),
  ZLR: flag(22),
  FRO: uint(33, 24),
  SSLPS: uint(37, 34),
  PSI: flag(39),
  NFR: uint(47, 40),
  MAMV: uint(53, 48),
  DWD: flag(54),
  DRD: flag(55),
  FS1GP: flag(56),
  PI: flag(59),
  FS5LP: flag(60),
  ECMDS: flag(61),
  ESIRTPS: flag(62),
  ESRTPS: flag(63),
});

/** Extended Capability Register. PSS is held minus one; IRO counts 16-byte units. */
export const ECAP = layout('ECAP_REG', 'VT-d 11.4.3', 64, {
  C: flag(0),
  QI: flag(1),
  DT: flag(2),
  IR: flag(3),
  EIM: flag(4),
  PT: flag(6),
  SC: flag(7),
  IRO: uint(17, 8),
  MHMV: uint(23, 20),
  MTS: flag(25),
  NEST: flag(26),
  PRS: flag(29),
  ERS: flag(30),
  SRS: flag(31),
  NWFS: flag(33),
  EAFS: flag(34),
  PSS: uint(39, 35),
  PASID: flag(40),
  DIT: flag(41),
  PDS: flag(42),
  SMTS: flag(43),
  VCS: flag(44),
  SSADS: flag(45),
  SSTS: flag(46),
  FSTS: flag(47),
  SMPWCS: flag(48),
  RPS: flag(49),
  TDXCS: flag(50),
  PMS: flag(51),
  ADMS: flag(52),
  RPRIVS: flag(53),
  HPTS: flag(55),
  PTRS: flag(56),
  SSIRWS: flag(57),
  SMS: flag(58),
  HPT1GPS: flag(59),
  RDTS: flag(60),
  EIMER: flag(61),
  IRREQ: flag(62),
});

export type CapField = keyof typeof CAP.fields;
export type EcapField = keyof typeof ECAP.fields;

/** CAP.SAGAW: bit `levels - 2` says that second-stage tables of so many levels are walked (39, 48, 57 bits). */
export const SAGAW = { LEVELS_3: 0x2, LEVELS_4: 0x4, LEVELS_5: 0x8 } as const;
/** CAP.SSLPS. */
export const SSLPS = { SIZE_2M: 0x1, SIZE_1G: 0x2 } as const;
