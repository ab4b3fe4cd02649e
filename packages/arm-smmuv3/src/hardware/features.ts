import { ADDRESS_BITS, IDR0, IDR1, IDR3, IDR5, REGISTERS } from '../format/registers.ts';

/** What the identification registers advertise, as the model's rules ask for it. All derived from the registers. */
export interface Features {
  readonly s1: boolean;
  readonly s2: boolean;
  readonly aarch64: boolean;
  readonly hyp: boolean;
  readonly ats: boolean;
  readonly ns1ats: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  readonly msi: boolean;
  readonly pri: boolean;
  readonly vmw: boolean;
  readonly cd2l: boolean;
  readonly atsRecErr: boolean;
  readonly btm: boolean;
  /** 0 mixed, 2 little, 3 big; -1 = not known, anything goes. */
  readonly ttendian: number;
  /** 0 none, 1 access flag, 2 and dirty state, 3 and table access flag. */
  readonly httu: number;
  /** 0 stall and terminate, 1 terminate only, 2 stall only. */
  readonly stallModel: number;
  /** True: a terminated access always aborts. */
  readonly abortOnly: boolean;
  readonly twoLevelStreams: boolean;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly cmdqLg2: number;
  readonly eventqLg2: number;
  readonly priqLg2: number;
  readonly permsOverride: boolean;
  readonly had: boolean;
  readonly xnx: boolean;
  readonly fwb: boolean;
  readonly stt: boolean;
  readonly ril: boolean;
  readonly e0pd: boolean;
  readonly epan: boolean;
  readonly dpt: boolean;
  readonly mpam: boolean;
  /** Output and intermediate address size in bits. */
  readonly oas: number;
  readonly ias: number;
  /** Bit 12, 14, 16: that granule is implemented. */
  readonly granules: number;
  /** Stage 1 takes 52-bit addresses with 64 KiB granules. */
  readonly va52: boolean;
}

/** Reads {@link Features} from the words of a register frame. */
export function readFeatures(frame: ArrayLike<number>): Features {
  const idr0 = IDR0.decode(frame, REGISTERS.IDR0.at / 4);
  const idr1 = IDR1.decode(frame, REGISTERS.IDR1.at / 4);
  const idr3 = IDR3.decode(frame, REGISTERS.IDR3.at / 4);
  const idr5 = IDR5.decode(frame, REGISTERS.IDR5.at / 4);
  const oas = Math.min(ADDRESS_BITS[idr5.OAS] ?? 52, 52);
  const granule = (on: boolean, lg2: number) => (on ? 1 << lg2 : 0);
  return {
    s1: idr0.S1P,
    s2: idr0.S2P,
    aarch64: (idr0.TTF & 2) !== 0,
    hyp: idr0.HYP,
    ats: idr0.ATS,
    ns1ats: idr0.NS1ATS,
    asid16: idr0.ASID16,
    vmid16: idr0.VMID16,
    msi: idr0.MSI,
    pri: idr0.PRI,
    vmw: idr0.VMW,
    cd2l: idr0.CD2L,
    atsRecErr: idr0.ATSRECERR,
    btm: idr0.BTM,
    ttendian: idr0.TTENDIAN,
    httu: idr0.HTTU,
    stallModel: idr0.STALL_MODEL,
    abortOnly: idr0.TERM_MODEL,
    twoLevelStreams: idr0.ST_LEVEL === 1,
    sidBits: Math.min(idr1.SIDSIZE, 32),
    ssidBits: Math.min(idr1.SSIDSIZE, 20),
    cmdqLg2: Math.min(idr1.CMDQS, 19),
    eventqLg2: Math.min(idr1.EVENTQS, 19),
    priqLg2: Math.min(idr1.PRIQS, 19),
    permsOverride: idr1.ATTR_PERMS_OVR,
    had: idr3.HAD,
    xnx: idr3.XNX,
    fwb: idr3.FWB,
    stt: idr3.STT,
    ril: idr3.RIL,
    e0pd: idr3.E0PD,
    epan: idr3.EPAN,
    dpt: idr3.DPT,
    mpam: idr3.MPAM,
    oas,
    ias: (idr0.TTF & 1) !== 0 ? Math.max(oas, 40) : oas,
    granules: granule(idr5.GRAN4K, 12) | granule(idr5.GRAN16K, 14) | granule(idr5.GRAN64K, 16),
    va52: idr5.VAX >= 1,
  };
}

/** A unit with every feature of the model: for judging a structure of which the unit is not known. */
export const ANY_FEATURES: Features = {
  s1: true,
  s2: true,
  aarch64: true,
  hyp: true,
  ats: true,
  ns1ats: false,
  asid16: true,
  vmid16: true,
  msi: true,
  pri: true,
  vmw: true,
  cd2l: true,
  atsRecErr: true,
  btm: true,
  ttendian: -1,
  httu: 3,
  stallModel: 0,
  abortOnly: false,
  twoLevelStreams: true,
  sidBits: 32,
  ssidBits: 20,
  cmdqLg2: 19,
  eventqLg2: 19,
  priqLg2: 19,
  permsOverride: true,
  had: true,
  xnx: true,
  fwb: true,
  stt: true,
  ril: true,
  e0pd: true,
  epan: true,
  dpt: true,
  mpam: true,
  oas: 52,
  ias: 52,
  granules: (1 << 12) | (1 << 14) | (1 << 16),
  va52: true,
};
