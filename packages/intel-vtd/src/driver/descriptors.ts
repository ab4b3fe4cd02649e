import {
  CC_G,
  CC_INV_DSC,
  DESCRIPTOR_TYPE,
  DEV_TLB_INV_DSC,
  INV_WAIT_DSC,
  IOTLB_G,
  IOTLB_INV_DSC,
  P_DEV_TLB_INV_DSC,
  P_IOTLB_G,
  P_IOTLB_INV_DSC,
  PC_G,
  PC_INV_DSC,
} from '../format/index.ts';
import { WHOLE_SPACE } from './invalidations.ts';

/** 32-bit words kept per descriptor, whatever the queue's entry width. */
export const DESCRIPTOR_WORDS = 8;
const CAPACITY = 16;

const DID = IOTLB_INV_DSC.fields.DID.lsb;
const HINT = IOTLB_INV_DSC.fields.IH.lsb - IOTLB_INV_DSC.fields.AM.lsb;
const WIDE_SID = P_DEV_TLB_INV_DSC.fields.SID.lsb;
const PFSID_LO = DEV_TLB_INV_DSC.fields['PFSID[3:0]'].lsb;
const PFSID_HI = DEV_TLB_INV_DSC.fields['PFSID[15:4]'].lsb - 32;
const SIZE = 1 << (DEV_TLB_INV_DSC.fields.S.lsb - 64);
const WIDE_SIZE = 1 << (P_DEV_TLB_INV_DSC.fields.S.lsb - 64);

const CC = (G: number): number => CC_INV_DSC.encode({ Type: DESCRIPTOR_TYPE.CC, G })[0]!;
const PC = (G: number): number => PC_INV_DSC.encode({ Type: DESCRIPTOR_TYPE.PC, G })[0]!;
const P_IOTLB = (G: number): number => P_IOTLB_INV_DSC.encode({ Type: DESCRIPTOR_TYPE.P_IOTLB, G })[0]!;

/** First words of each descriptor, fixed fields only; what varies is put in with shifts, so no request allocates. */
const CC_GLOBAL = CC(CC_G.GLOBAL);
const CC_DEVICE = CC(CC_G.DEVICE);
const PC_GLOBAL = PC(PC_G.GLOBAL);
const PC_PASID = PC(PC_G.PASID);
const P_IOTLB_PASID = P_IOTLB(P_IOTLB_G.PASID);
const P_IOTLB_PAGE = P_IOTLB(P_IOTLB_G.PAGE);
const DEV_TLB = DEV_TLB_INV_DSC.encode({ Type: DESCRIPTOR_TYPE.DEV_TLB })[0]!;
const P_DEV_TLB = P_DEV_TLB_INV_DSC.encode({ Type: DESCRIPTOR_TYPE.P_DEV_TLB })[0]!;

/** Status value a wait descriptor writes when it is done. */
export const WAIT_DONE = 2;
/** Writes {@link WAIT_DONE} to its status address. */
export const WAIT_STATUS = INV_WAIT_DSC.encode({ Type: DESCRIPTOR_TYPE.WAIT, SW: true, STATUS_DATA: WAIT_DONE });
/** A pure barrier: nothing written, nothing raised. It stands in for a descriptor the unit refused. */
export const WAIT_FENCE = INV_WAIT_DSC.encode({ Type: DESCRIPTOR_TYPE.WAIT, FN: true });

/** What the unit's registers say about descriptors. */
export interface DescriptorTraits {
  /** CAP.DWD / CAP.DRD: draining may be asked for. */
  readonly drainWrites: boolean;
  readonly drainReads: boolean;
  /** ECAP.DIT: device-TLB descriptors name the physical function. */
  readonly throttle: boolean;
}

/** Up to 16 descriptors waiting for submission. Fields are placed as VT-d 6.5.2 prints them. */
export class DescriptorBatch {
  readonly words = new Int32Array(CAPACITY * DESCRIPTOR_WORDS);
  count = 0;
  private readonly throttle: boolean;
  private readonly iotlbGlobalWord: number;
  private readonly iotlbDomainWord: number;
  private readonly iotlbPageWord: number;

  constructor({ drainWrites, drainReads, throttle }: DescriptorTraits) {
    const iotlb = (G: number): number =>
      IOTLB_INV_DSC.encode({ Type: DESCRIPTOR_TYPE.IOTLB, G, DW: drainWrites, DR: drainReads })[0]!;
    this.throttle = throttle;
    this.iotlbGlobalWord = iotlb(IOTLB_G.GLOBAL);
    this.iotlbDomainWord = iotlb(IOTLB_G.DOMAIN);
    this.iotlbPageWord = iotlb(IOTLB_G.PAGE);
  }

  get full(): boolean {
    return this.count === CAPACITY;
  }

  contextGlobal(): void {
    this.put(CC_GLOBAL, 0, 0, 0);
  }

  contextDevice(sid: number, did: number): void {
    this.put(CC_DEVICE | (did << DID), sid, 0, 0);
  }

  pasidGlobal(): void {
    this.put(PC_GLOBAL, 0, 0, 0);
  }

  pasidEntry(did: number, pasid: number): void {
    this.put(PC_PASID | (did << DID), pasid, 0, 0);
  }

  iotlbGlobal(): void {
    this.put(this.iotlbGlobalWord, 0, 0, 0);
  }

  iotlbDomain(did: number): void {
    this.put(this.iotlbDomainWord | (did << DID), 0, 0, 0);
  }

  iotlbPages(did: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    this.put(this.iotlbPageWord | (did << DID), 0, lo | order | (leafOnly ? 1 << HINT : 0), hi);
  }

  pasidIotlb(did: number, pasid: number): void {
    this.put(P_IOTLB_PASID | (did << DID), pasid, 0, 0);
  }

  pasidIotlbPages(did: number, pasid: number, hi: number, lo: number, order: number, leafOnly: boolean): void {
    this.put(P_IOTLB_PAGE | (did << DID), pasid, lo | order | (leafOnly ? 1 << HINT : 0), hi);
  }

  deviceTlb(sid: number, pasid: number, hi: number, lo: number, order: number): void {
    const pf = this.throttle ? sid : 0;
    const word0 = (pf & 0xf) << PFSID_LO;
    const word1 = (pf >>> 4) << PFSID_HI;
    const wide = pasid !== 0;
    const size = order === 0 ? 0 : wide ? WIDE_SIZE : SIZE;
    const all = order >= WHOLE_SPACE;
    const blockHi = all ? 0x7fff_ffff : hi | onesHi(order);
    const blockLo = (all ? -4096 : lo | onesLo(order)) | size;
    if (wide) this.put(P_DEV_TLB | word0 | (sid << WIDE_SID), word1 | pasid, blockLo, blockHi);
    else this.put(DEV_TLB | word0, word1 | sid, blockLo, blockHi);
  }

  private put(word0: number, word1: number, word2: number, word3: number): void {
    const at = this.count++ * DESCRIPTOR_WORDS;
    const { words } = this;
    words[at] = word0;
    words[at + 1] = word1;
    words[at + 2] = word2;
    words[at + 3] = word3;
  }
}

/**
 * A device-TLB block of 2^order pages is coded by ones from bit 12 up and a zero at bit 11 + order (VT-d 6.5.2.5): its
 * halves, without the address.
 */
function onesLo(order: number): number {
  if (order < 2) return 0;
  return order > 20 ? -4096 : (2 ** (order - 1) - 1) << 12;
}

function onesHi(order: number): number {
  return order <= 21 ? 0 : (2 ** (order - 21) - 1) | 0;
}
