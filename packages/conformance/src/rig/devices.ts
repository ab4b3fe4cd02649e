import type { DeviceDescription } from '@iommukit/core';

const device = (name: string, id: number, more: Partial<DeviceDescription> = {}): DeviceDescription => ({
  name,
  requesterIds: [id],
  pasidBits: 0,
  ats: false,
  pri: false,
  coherent: true,
  isolation: null,
  busLimits: [],
  ...more,
});

/** Where the `limited` device's bus lets DMA through. */
export const BUS_WINDOW = { start: 0x1_0000n, last: 0xffff_ffffn } as const;

/** The devices a rig can plug in. `a` and `b` differ only above bit 7 of their ids. */
export const DEVICES = {
  a: device('a', 0x010),
  b: device('b', 0x110),
  /** Two functions that the unit cannot tell apart for isolation: one group. */
  twin: device('twin', 0x020, { isolation: 'card' }),
  sibling: device('sibling', 0x021, { isolation: 'card' }),
  pasid: device('pasid', 0x030, { pasidBits: 8 }),
  /** Another one with more PASIDs, whose id differs above bit 7. */
  pasid2: device('pasid2', 0x130, { pasidBits: 16 }),
  /** Two ids, both with PASIDs. */
  pasidAlias: device('pasidAlias', 0x058, { requesterIds: [0x058, 0x059], pasidBits: 8 }),
  /** Its DMA cannot be held to cache coherency by firmware's word. */
  loose: device('loose', 0x040, { coherent: false }),
  /** One device that sends two ids. */
  alias: device('alias', 0x050, { requesterIds: [0x050, 0x051] }),
  /** The last id of nine bits. */
  last: device('last', 0x1ff),
  limited: device('limited', 0x060, { busLimits: [BUS_WINDOW] }),
} as const satisfies Record<string, DeviceDescription>;

export type DeviceName = keyof typeof DEVICES;

/** An id that no device has. */
export const STRANGER = 0x0f8;
