import { addr, type Fields, flag, type Layout, layout, uint } from '@iommukit/bits';

export const COMMAND_BYTES = 16;

/** Opcodes, bits 7:0 of a command. IHI 0070 4.1.3. */
export const OPCODE = {
  PREFETCH_CONFIG: 0x01,
  PREFETCH_ADDR: 0x02,
  CFGI_STE: 0x03,
  CFGI_STE_RANGE: 0x04,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  CFGI_VMS_PIDM: 0x07,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_NH_VAA: 0x13,
  TLBI_EL3_ALL: 0x18,
  TLBI_EL3_VA: 0x1a,
  TLBI_EL2_ALL: 0x20,
  TLBI_EL2_ASID: 0x21,
  TLBI_EL2_VA: 0x22,
  TLBI_EL2_VAA: 0x23,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  ATC_INV: 0x40,
  PRI_RESP: 0x41,
  RESUME: 0x44,
  STALL_TERM: 0x45,
  SYNC: 0x46,
} as const;
export type Opcode = (typeof OPCODE)[keyof typeof OPCODE];

/** CMD_SYNC.CS: how completion is signalled. */
export const SYNC_CS = { NONE: 0, IRQ: 1, SEV: 2 } as const;

export interface CommandFormat {
  /** The manual's mnemonic, `CMD_…`. */
  readonly name: string;
  readonly layout: Layout;
}

const COMMON = { Opcode: uint(7, 0) };
/** Only commands that name a stream by its configuration, or end its stalls, have it; elsewhere bit 10 is reserved. */
const SSEC = { SSec: flag(10) };
const SUBSTREAM = { SSV: flag(11), SubstreamID: uint(31, 12) };
const STREAM = { StreamID: uint(63, 32) };
const VMID = { VMID: uint(47, 32) };
const ASID = { ASID: uint(63, 48) };
const LEAF = { Leaf: flag(64) };
/** The range fields are RES0 without IDR3.RIL. */
const RANGE = {
  NUM: uint(16, 12),
  SCALE: uint(24, 20),
  Leaf: flag(64),
  TTL: uint(73, 72),
  TG: uint(75, 74, { 0: 'none', 1: '4K', 2: '16K', 3: '64K' }),
};
const ADDRESS = { Address: addr(127, 76) };

function command<const S extends Fields>(name: string, section: string, fields: S): Layout<typeof COMMON & S> {
  return layout(`CMD_${name}`, `IHI 0070 ${section}`, 128, { ...COMMON, ...fields });
}

export const CMD_PREFETCH_CONFIG = command('PREFETCH_CONFIG', '4.2.1', {
  ...SSEC,
  ...SUBSTREAM,
  ...STREAM,
});
export const CMD_PREFETCH_ADDR = command('PREFETCH_ADDR', '4.2.2', {
  ...SSEC,
  ...SUBSTREAM,
  ...STREAM,
  Size: uint(68, 64),
  ...ADDRESS,
});
export const CMD_CFGI_STE = command('CFGI_STE', '4.3.1', { ...SSEC, ...STREAM, ...LEAF });
export const CMD_CFGI_STE_RANGE = command('CFGI_STE_RANGE', '4.3.2', { ...SSEC, ...STREAM, Range: uint(68, 64) });
export const CMD_CFGI_CD = command('CFGI_CD', '4.3.3', { ...SSEC, SubstreamID: uint(31, 12), ...STREAM, ...LEAF });
export const CMD_CFGI_CD_ALL = command('CFGI_CD_ALL', '4.3.4', { ...SSEC, ...STREAM });
export const CMD_CFGI_VMS_PIDM = command('CFGI_VMS_PIDM', '4.3.5', { ...SSEC, ...VMID });
export const CMD_TLBI_NH_ALL = command('TLBI_NH_ALL', '4.4.1', VMID);
export const CMD_TLBI_NH_ASID = command('TLBI_NH_ASID', '4.4.1', { ...VMID, ...ASID });
export const CMD_TLBI_NH_VA = command('TLBI_NH_VA', '4.4.1', { ...VMID, ...ASID, ...RANGE, ...ADDRESS });
export const CMD_TLBI_NH_VAA = command('TLBI_NH_VAA', '4.4.1', { ...VMID, ...RANGE, ...ADDRESS });
export const CMD_TLBI_EL3_ALL = command('TLBI_EL3_ALL', '4.4.1', {});
export const CMD_TLBI_EL3_VA = command('TLBI_EL3_VA', '4.4.1', { ...RANGE, ...ADDRESS });
export const CMD_TLBI_EL2_ALL = command('TLBI_EL2_ALL', '4.4.1', {});
export const CMD_TLBI_EL2_ASID = command('TLBI_EL2_ASID', '4.4.1', ASID);
export const CMD_TLBI_EL2_VA = command('TLBI_EL2_VA', '4.4.1', { ...ASID, ...RANGE, ...ADDRESS });
export const CMD_TLBI_EL2_VAA = command('TLBI_EL2_VAA', '4.4.1', { ...RANGE, ...ADDRESS });
export const CMD_TLBI_S12_VMALL = command('TLBI_S12_VMALL', '4.4.2', VMID);
export const CMD_TLBI_S2_IPA = command('TLBI_S2_IPA', '4.4.2', { ...VMID, ...RANGE, ...ADDRESS });
export const CMD_TLBI_NSNH_ALL = command('TLBI_NSNH_ALL', '4.4.3', {});
export const CMD_ATC_INV = command('ATC_INV', '4.5.1', {
  Global: flag(9),
  ...SUBSTREAM,
  ...STREAM,
  Size: uint(69, 64),
  ...ADDRESS,
});
export const CMD_PRI_RESP = command('PRI_RESP', '4.5.2', {
  ...SUBSTREAM,
  ...STREAM,
  PRGIndex: uint(72, 64),
  Resp: uint(77, 76, { 0: 'ResponseFailure', 1: 'InvalidRequest', 2: 'Success' }),
});
export const CMD_RESUME = command('RESUME', '4.6.1', {
  ...SSEC,
  Ac: flag(12),
  Ab: flag(13),
  ...STREAM,
  STAG: uint(79, 64),
});
export const CMD_STALL_TERM = command('STALL_TERM', '4.6.2', { ...SSEC, ...STREAM });
export const CMD_SYNC = command('SYNC', '4.7.3', {
  CS: uint(13, 12, { 0: 'SIG_NONE', 1: 'SIG_IRQ', 2: 'SIG_SEV' }),
  MSH: uint(23, 22),
  MSIAttr: uint(27, 24),
  MSIData: uint(63, 32),
  MSIAddress: addr(119, 66),
});

const ALL: Readonly<Record<Opcode, Layout>> = {
  [OPCODE.PREFETCH_CONFIG]: CMD_PREFETCH_CONFIG,
  [OPCODE.PREFETCH_ADDR]: CMD_PREFETCH_ADDR,
  [OPCODE.CFGI_STE]: CMD_CFGI_STE,
  [OPCODE.CFGI_STE_RANGE]: CMD_CFGI_STE_RANGE,
  [OPCODE.CFGI_CD]: CMD_CFGI_CD,
  [OPCODE.CFGI_CD_ALL]: CMD_CFGI_CD_ALL,
  [OPCODE.CFGI_VMS_PIDM]: CMD_CFGI_VMS_PIDM,
  [OPCODE.TLBI_NH_ALL]: CMD_TLBI_NH_ALL,
  [OPCODE.TLBI_NH_ASID]: CMD_TLBI_NH_ASID,
  [OPCODE.TLBI_NH_VA]: CMD_TLBI_NH_VA,
  [OPCODE.TLBI_NH_VAA]: CMD_TLBI_NH_VAA,
  [OPCODE.TLBI_EL3_ALL]: CMD_TLBI_EL3_ALL,
  [OPCODE.TLBI_EL3_VA]: CMD_TLBI_EL3_VA,
  [OPCODE.TLBI_EL2_ALL]: CMD_TLBI_EL2_ALL,
  [OPCODE.TLBI_EL2_ASID]: CMD_TLBI_EL2_ASID,
  [OPCODE.TLBI_EL2_VA]: CMD_TLBI_EL2_VA,
  [OPCODE.TLBI_EL2_VAA]: CMD_TLBI_EL2_VAA,
  [OPCODE.TLBI_S12_VMALL]: CMD_TLBI_S12_VMALL,
  [OPCODE.TLBI_S2_IPA]: CMD_TLBI_S2_IPA,
  [OPCODE.TLBI_NSNH_ALL]: CMD_TLBI_NSNH_ALL,
  [OPCODE.ATC_INV]: CMD_ATC_INV,
  [OPCODE.PRI_RESP]: CMD_PRI_RESP,
  [OPCODE.RESUME]: CMD_RESUME,
  [OPCODE.STALL_TERM]: CMD_STALL_TERM,
  [OPCODE.SYNC]: CMD_SYNC,
};

/** Every command of the architecture by opcode; an opcode that is not here is CERROR_ILL. */
export const COMMANDS: Readonly<Record<number, CommandFormat | undefined>> = Object.fromEntries(
  Object.entries(ALL).map(([opcode, form]) => [opcode, { name: form.name, layout: form }]),
);

/** Opcodes whose bit 10 is SSec, which must be 0 in a Non-secure queue. IHI 0070 4.1.6. */
export const HAS_SSEC: ReadonlySet<number> = new Set(
  Object.entries(ALL)
    .filter(([, form]) => 'SSec' in form.fields)
    .map(([opcode]) => Number(opcode)),
);
