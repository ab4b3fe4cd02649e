import { addr, type Fields, flag, type Layout, layout, uint } from '@iommukit/bits';

export const EVENT_BYTES = 32;

/** Event numbers, bits 7:0 of a record. IHI 0070 7.3. */
export const EVENT = {
  F_UUT: 0x01,
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
  F_TLB_CONFLICT: 0x20,
  F_CFG_CONFLICT: 0x21,
  E_PAGE_REQUEST: 0x24,
  F_VMS_FETCH: 0x25,
} as const;
export type EventCode = (typeof EVENT)[keyof typeof EVENT];
export type EventName = keyof typeof EVENT;

/** The CLASS field: what was being translated when the fault was met. */
export const EVENT_CLASS = { CD: 0, TT: 1, IN: 2 } as const;

export interface EventFormat {
  /** The manual's mnemonic. */
  readonly name: string;
  readonly layout: Layout;
}

const TYPE = { Type: uint(7, 0) };
const STREAM = { StreamID: uint(63, 32) };
const SUBSTREAM = { SSV: flag(11), SubstreamID: uint(31, 12) };
const REASON = { Reason: uint(79, 64) };
const ATTRIBUTES = { PnU: flag(97), InD: flag(98), RnW: flag(99) };
const INPUT = { InputAddr: addr(191, 128) };
const INPUT_PAGE = { InputAddr: addr(191, 140) };
const STAGE = { S2: flag(103), CLASS: uint(105, 104, { 0: 'CD', 1: 'TT', 2: 'IN' }) };
const FETCH = { FetchAddr: addr(247, 195) };
const IPA = { IPA: addr(247, 204) };
const FETCH_FAULT = { ...SUBSTREAM, ...REASON, GPCF: flag(80), ...FETCH };
const TRANSLATION_FAULT = {
  ...SUBSTREAM,
  STAG: uint(79, 64),
  Stall: flag(95),
  ...ATTRIBUTES,
  NSIPA: flag(100),
  ...STAGE,
  ...INPUT,
  ...IPA,
};

function event<const S extends Fields>(
  name: EventName,
  section: string,
  fields: S,
): Layout<typeof TYPE & typeof STREAM & S> {
  return layout(name, `IHI 0070 7.3.${section}`, 256, { ...TYPE, ...STREAM, ...fields });
}

export const F_UUT = event('F_UUT', '1', { ...SUBSTREAM, ...REASON, ...ATTRIBUTES, ...INPUT });
export const C_BAD_STREAMID = event('C_BAD_STREAMID', '2', SUBSTREAM);
export const F_STE_FETCH = event('F_STE_FETCH', '3', FETCH_FAULT);
export const C_BAD_STE = event('C_BAD_STE', '4', SUBSTREAM);
export const F_BAD_ATS_TREQ = event('F_BAD_ATS_TREQ', '5', {
  ...SUBSTREAM,
  Span: uint(67, 64),
  Priv: flag(92),
  X: flag(93),
  W: flag(94),
  R: flag(95),
  ...INPUT_PAGE,
});
export const F_STREAM_DISABLED = event('F_STREAM_DISABLED', '6', {});
export const F_TRANSL_FORBIDDEN = event('F_TRANSL_FORBIDDEN', '7', { RnW: flag(99), ...INPUT });
/** SubstreamID is always valid here; there is no SSV. */
export const C_BAD_SUBSTREAMID = event('C_BAD_SUBSTREAMID', '8', { SubstreamID: uint(31, 12) });
export const F_CD_FETCH = event('F_CD_FETCH', '9', FETCH_FAULT);
export const C_BAD_CD = event('C_BAD_CD', '10', SUBSTREAM);
export const F_WALK_EABT = event('F_WALK_EABT', '11', {
  ...SUBSTREAM,
  ...REASON,
  ...ATTRIBUTES,
  ...STAGE,
  ...INPUT,
  ...FETCH,
});
export const F_TRANSLATION = event('F_TRANSLATION', '12', TRANSLATION_FAULT);
export const F_ADDR_SIZE = event('F_ADDR_SIZE', '13', TRANSLATION_FAULT);
export const F_ACCESS = event('F_ACCESS', '14', TRANSLATION_FAULT);
export const F_PERMISSION = event('F_PERMISSION', '15', { ...TRANSLATION_FAULT, TTRnW: flag(108) });
export const F_TLB_CONFLICT = event('F_TLB_CONFLICT', '16', {
  ...SUBSTREAM,
  ...REASON,
  ...ATTRIBUTES,
  S2: flag(103),
  ...INPUT,
  ...IPA,
});
export const F_CFG_CONFLICT = event('F_CFG_CONFLICT', '17', { ...SUBSTREAM, ...REASON });
export const E_PAGE_REQUEST = event('E_PAGE_REQUEST', '18', {
  ...SUBSTREAM,
  uX: flag(97),
  uW: flag(98),
  uR: flag(99),
  pX: flag(101),
  pW: flag(102),
  pR: flag(103),
  Span: uint(115, 108),
  ...INPUT_PAGE,
});
export const F_VMS_FETCH = event('F_VMS_FETCH', '19', FETCH_FAULT);

const ALL: Readonly<Record<EventCode, Layout>> = {
  [EVENT.F_UUT]: F_UUT,
  [EVENT.C_BAD_STREAMID]: C_BAD_STREAMID,
  [EVENT.F_STE_FETCH]: F_STE_FETCH,
  [EVENT.C_BAD_STE]: C_BAD_STE,
  [EVENT.F_BAD_ATS_TREQ]: F_BAD_ATS_TREQ,
  [EVENT.F_STREAM_DISABLED]: F_STREAM_DISABLED,
  [EVENT.F_TRANSL_FORBIDDEN]: F_TRANSL_FORBIDDEN,
  [EVENT.C_BAD_SUBSTREAMID]: C_BAD_SUBSTREAMID,
  [EVENT.F_CD_FETCH]: F_CD_FETCH,
  [EVENT.C_BAD_CD]: C_BAD_CD,
  [EVENT.F_WALK_EABT]: F_WALK_EABT,
  [EVENT.F_TRANSLATION]: F_TRANSLATION,
  [EVENT.F_ADDR_SIZE]: F_ADDR_SIZE,
  [EVENT.F_ACCESS]: F_ACCESS,
  [EVENT.F_PERMISSION]: F_PERMISSION,
  [EVENT.F_TLB_CONFLICT]: F_TLB_CONFLICT,
  [EVENT.F_CFG_CONFLICT]: F_CFG_CONFLICT,
  [EVENT.E_PAGE_REQUEST]: E_PAGE_REQUEST,
  [EVENT.F_VMS_FETCH]: F_VMS_FETCH,
};

/** Every architected record by number; 0xE0–0xEF are implementation defined, the rest unknown. */
export const EVENTS: Readonly<Record<number, EventFormat | undefined>> = Object.fromEntries(
  Object.entries(ALL).map(([code, form]) => [code, { name: form.name, layout: form }]),
);
