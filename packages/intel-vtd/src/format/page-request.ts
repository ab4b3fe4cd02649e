import { addr, flag, layout, uint } from '@iommukit/bits';

/** Page request as the unit queues it; qw2 and qw3 are zero. Not produced by any configuration so far. */
export const PAGE_REQ_DSC = layout('page_req_dsc', 'VT-d 7.4.1', 256, {
  Type: uint(7, 0),
  PP: flag(8),
  RID: uint(31, 16),
  PASID: uint(51, 32),
  EXR: flag(52),
  PMR: flag(53),
  RDR: flag(64),
  WRR: flag(65),
  LPIG: flag(66),
  PRGI: uint(75, 67),
  ADDR: addr(127, 76),
});
