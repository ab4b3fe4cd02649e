import { addr, flag, layout, uint } from '@iommukit/bits';

/** Context descriptor, IHI 0070 5.4. */
export const CD = layout(
  'CD',
  'IHI 0070 5.4',
  512,
  {
    T0SZ: uint(5, 0),
    TG0: uint(7, 6, { 0: '4K', 1: '64K', 2: '16K' }),
    IR0: uint(9, 8),
    OR0: uint(11, 10),
    SH0: uint(13, 12),
    EPD0: flag(14),
    ENDI: flag(15),
    T1SZ: uint(21, 16),
    TG1: uint(23, 22, { 1: '16K', 2: '4K', 3: '64K' }),
    IR1: uint(25, 24),
    OR1: uint(27, 26),
    SH1: uint(29, 28),
    EPD1: flag(30),
    V: flag(31),
    IPS: uint(34, 32, { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52', 7: '56' }),
    AFFD: flag(35),
    WXN: flag(36),
    UWXN: flag(37),
    TBI0: flag(38),
    TBI1: flag(39),
    PAN: flag(40),
    AA64: flag(41),
    HD: flag(42),
    HA: flag(43),
    S: flag(44),
    R: flag(45),
    A: flag(46),
    ASET: flag(47),
    ASID: uint(63, 48),
    NSCFG0: flag(64),
    HAD0: flag(65),
    E0PD0: flag(66),
    HAFT: flag(67),
    TTB0: addr(119, 68),
    PnCH: flag(122),
    EPAN: flag(123),
    HWU0: uint(127, 124),
    NSCFG1: flag(128),
    HAD1: flag(129),
    E0PD1: flag(130),
    AIE: flag(131),
    TTB1: addr(183, 132),
    DS: flag(186),
    PIE: flag(187),
    HWU1: uint(191, 188),
    MAIR0: uint(223, 192),
    MAIR1: uint(255, 224),
    AMAIR0: uint(287, 256),
    AMAIR1: uint(319, 288),
    PARTID: uint(367, 352),
    PMG: uint(375, 368),
  },
  { ignored: [[351, 320]] },
);

/** Level-1 context descriptor table entry, IHI 0070 5.3. */
export const L1CD = layout('L1CD', 'IHI 0070 5.3', 64, { V: flag(0), L2Ptr: addr(55, 12) });

export const CD_BYTES = 64;
export const L1CD_BYTES = 8;
/** log2 of the CDs in one leaf table, by STE.S1Fmt. */
export const CD_LEAF_LG2 = { 1: 6, 2: 10 } as const;
