import { addr, flag, type Layout, layout, uint } from '@iommukit/bits';

/**
 * Descriptors of the invalidation queue, VT-d 6.5.2. The type is bits 3:0 with bits 11:9 above them; bits 11:9 are
 * zero in every defined type. In a queue of 256-bit entries a 128-bit descriptor is padded with zeros.
 */
const SPEC = 'VT-d 6.5.2';
const TYPE = { Type: uint(3, 0), 'Type[6:4]': uint(11, 9) } as const;
const PAGE = { AM: uint(69, 64), IH: flag(70), ADDR: addr(127, 76) } as const;

export const CC_INV_DSC = layout('cc_inv_dsc', SPEC, 128, {
  ...TYPE,
  G: uint(5, 4, { 1: 'GLOBAL', 2: 'DOMAIN', 3: 'DEVICE' }),
  DID: uint(31, 16),
  SID: uint(47, 32),
  FM: uint(49, 48),
});

export const IOTLB_INV_DSC = layout('iotlb_inv_dsc', SPEC, 128, {
  ...TYPE,
  G: uint(5, 4, { 1: 'GLOBAL', 2: 'DOMAIN', 3: 'PAGE' }),
  DW: flag(6),
  DR: flag(7),
  DID: uint(31, 16),
  ...PAGE,
});

export const DEV_TLB_INV_DSC = layout('dev_tlb_inv_dsc', SPEC, 128, {
  ...TYPE,
  'PFSID[3:0]': uint(15, 12),
  MIP: uint(20, 16),
  SID: uint(47, 32),
  'PFSID[15:4]': uint(63, 52),
  S: flag(64),
  ADDR: addr(127, 76),
});

export const IEC_INV_DSC = layout('iec_inv_dsc', SPEC, 128, {
  ...TYPE,
  G: uint(4, 4, { 0: 'GLOBAL', 1: 'INDEX' }),
  IM: uint(31, 27),
  IIDX: uint(47, 32),
});

export const INV_WAIT_DSC = layout('inv_wait_dsc', SPEC, 128, {
  ...TYPE,
  IF: flag(4),
  SW: flag(5),
  FN: flag(6),
  PD: flag(7),
  STATUS_DATA: uint(63, 32),
  STATUS_ADDR: addr(127, 66),
});

export const P_IOTLB_INV_DSC = layout('p_iotlb_inv_dsc', SPEC, 256, {
  ...TYPE,
  G: uint(5, 4, { 2: 'PASID', 3: 'PAGE' }),
  DID: uint(31, 16),
  PASID: uint(51, 32),
  ...PAGE,
});

export const PC_INV_DSC = layout('pc_inv_dsc', SPEC, 256, {
  ...TYPE,
  G: uint(5, 4, { 0: 'DOMAIN', 1: 'PASID', 3: 'GLOBAL' }),
  DID: uint(31, 16),
  PASID: uint(51, 32),
});

export const P_DEV_TLB_INV_DSC = layout('p_dev_tlb_inv_dsc', SPEC, 256, {
  ...TYPE,
  MIP: uint(8, 4),
  'PFSID[3:0]': uint(15, 12),
  SID: uint(31, 16),
  PASID: uint(51, 32),
  'PFSID[15:4]': uint(63, 52),
  GI: flag(64),
  S: flag(75),
  ADDR: addr(127, 76),
});

export const PAGE_GRP_RESP_DSC = layout(
  'page_grp_resp_dsc',
  'VT-d 7.7.1',
  256,
  {
    ...TYPE,
    PP: flag(4),
    RC: uint(15, 12, { 0: 'SUCCESS', 1: 'INVALID_REQUEST', 15: 'RESPONSE_FAILURE' }),
    RID: uint(31, 16),
    PASID: uint(51, 32),
    PRGI: uint(75, 67),
  },
  { ignored: [[66, 66]] },
);

export const HPT_INV_DSC = layout('hpt_inv_dsc', SPEC, 256, {
  ...TYPE,
  G: uint(5, 4, { 1: 'GLOBAL', 2: 'DOMAIN', 3: 'PAGE' }),
  HPTDID: uint(31, 16),
  AM: uint(69, 64),
  IH: uint(71, 70),
  ADDR: addr(127, 76),
});

export const DESCRIPTOR_TYPE = {
  CC: 1,
  IOTLB: 2,
  DEV_TLB: 3,
  IEC: 4,
  WAIT: 5,
  P_IOTLB: 6,
  PC: 7,
  P_DEV_TLB: 8,
  PAGE_GRP_RESP: 9,
  HPT: 10,
} as const;

export interface DescriptorType {
  readonly type: number;
  readonly name: string;
  readonly layout: Layout;
  /** The ECAP bit without which the type does not exist; types past 5 exist only outside legacy mode besides. */
  readonly feature?: 'DT' | 'PRS' | 'HPTS';
}

/** Indexed by type number; undefined where no descriptor is defined. */
export const DESCRIPTORS: readonly (DescriptorType | undefined)[] = [
  undefined,
  { type: 1, name: 'cc_inv_dsc', layout: CC_INV_DSC },
  { type: 2, name: 'iotlb_inv_dsc', layout: IOTLB_INV_DSC },
  { type: 3, name: 'dev_tlb_inv_dsc', layout: DEV_TLB_INV_DSC, feature: 'DT' },
  { type: 4, name: 'iec_inv_dsc', layout: IEC_INV_DSC },
  { type: 5, name: 'inv_wait_dsc', layout: INV_WAIT_DSC },
  { type: 6, name: 'p_iotlb_inv_dsc', layout: P_IOTLB_INV_DSC },
  { type: 7, name: 'pc_inv_dsc', layout: PC_INV_DSC },
  { type: 8, name: 'p_dev_tlb_inv_dsc', layout: P_DEV_TLB_INV_DSC, feature: 'DT' },
  { type: 9, name: 'page_grp_resp_dsc', layout: PAGE_GRP_RESP_DSC, feature: 'PRS' },
  { type: 10, name: 'hpt_inv_dsc', layout: HPT_INV_DSC, feature: 'HPTS' },
];

/** Values of G; note that the PASID cache counts unlike all others. */
export const CC_G = { GLOBAL: 1, DOMAIN: 2, DEVICE: 3 } as const;
export const IOTLB_G = { GLOBAL: 1, DOMAIN: 2, PAGE: 3 } as const;
export const P_IOTLB_G = { PASID: 2, PAGE: 3 } as const;
export const PC_G = { DOMAIN: 0, PASID: 1, GLOBAL: 3 } as const;
export const HPT_G = { GLOBAL: 1, DOMAIN: 2, PAGE: 3 } as const;
export const IEC_G = { GLOBAL: 0, INDEX: 1 } as const;
