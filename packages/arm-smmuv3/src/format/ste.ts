import { addr, flag, layout, uint } from '@iommukit/bits';

/** Values of STE.Config; 0xx all abort without a record. */
export const STE_CONFIG = { ABORT: 0, BYPASS: 4, S1: 5, S2: 6, NESTED: 7 } as const;

/** Stream table entry of a Non-secure stream, IHI 0070 5.2. Bit n lies in 64-bit word n/64. */
export const STE = layout(
  'STE',
  'IHI 0070 5.2',
  512,
  {
    V: flag(0),
    Config: uint(3, 1, { 0: 'ABORT', 4: 'BYPASS', 5: 'S1_TRANS', 6: 'S2_TRANS', 7: 'NESTED' }),
    S1Fmt: uint(5, 4, { 0: 'LINEAR', 1: '4KB_L2', 2: '64KB_L2' }),
    S1ContextPtr: addr(55, 6),
    S1CDMax: uint(63, 59),
    S1DSS: uint(65, 64, { 0: 'TERMINATE', 1: 'BYPASS', 2: 'SUBSTREAM0' }),
    S1CIR: uint(67, 66),
    S1COR: uint(69, 68),
    S1CSH: uint(71, 70),
    S2HWU59: flag(72),
    S2HWU60: flag(73),
    S2HWU61: flag(74),
    S2HWU62: flag(75),
    DRE: flag(76),
    CONT: uint(80, 77),
    DCP: flag(81),
    PPAR: flag(82),
    MEV: flag(83),
    S1PIE: flag(88),
    S2FWB: flag(89),
    S1MPAM: flag(90),
    S1STALLD: flag(91),
    EATS: uint(93, 92, { 0: 'UR', 1: 'FULL', 2: 'S1CHK', 3: 'DPT' }),
    STRW: uint(95, 94, { 0: 'NS-EL1', 2: 'NS-EL2' }),
    MemAttr: uint(99, 96),
    MTCFG: flag(100),
    ALLOCCFG: uint(104, 101),
    SHCFG: uint(109, 108, { 0: 'NSH', 1: 'incoming', 2: 'OSH', 3: 'ISH' }),
    PRIVCFG: uint(113, 112),
    INSTCFG: uint(115, 114),
    S2VMID: uint(143, 128),
    S2T0SZ: uint(165, 160),
    S2SL0: uint(167, 166),
    S2IR0: uint(169, 168),
    S2OR0: uint(171, 170),
    S2SH0: uint(173, 172),
    S2TG: uint(175, 174, { 0: '4K', 1: '64K', 2: '16K' }),
    S2PS: uint(178, 176, { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52', 7: '56' }),
    S2AA64: flag(179),
    S2ENDI: flag(180),
    S2AFFD: flag(181),
    S2PTW: flag(182),
    S2HD: flag(183),
    S2HA: flag(184),
    S2S: flag(185),
    S2R: flag(186),
    S2HAFT: flag(187),
    S2PIE: flag(188),
    S2POE: flag(189),
    DPT_VMATCH: uint(191, 190),
    S2SL0_2: flag(194),
    S2DS: flag(195),
    S2TTB: addr(247, 196),
    VMSPtr: addr(375, 332),
  },
  { ignored: [[87, 84]] },
);

/** Level-1 stream table descriptor, IHI 0070 5.1. Span n covers 2^(n-1) STEs; 0 and 12..31 are invalid. */
export const L1STD = layout('L1STD', 'IHI 0070 5.1', 64, { Span: uint(4, 0), L2Ptr: addr(55, 6) });

export const STE_BYTES = 64;
export const L1STD_BYTES = 8;
