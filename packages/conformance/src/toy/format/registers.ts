import { flag, layout, type RegisterTable, uint } from '@iommukit/bits';

/** The register frame (README, "Registers"). */
export const REGISTERS = {
  ID: { at: 0x00, size: 4, reset: 0x3159_4f54n },
  CAPS: { at: 0x04, size: 4 },
  CTRL: { at: 0x08, size: 4, writable: 0x1n },
  STATUS: { at: 0x0c, size: 4, clearOnOne: 0x6n },
  TABLE: { at: 0x10, size: 8, writable: 0x000f_ffff_ffff_f01fn },
  CMD_BASE: { at: 0x18, size: 8, writable: 0x000f_ffff_ffff_f000n },
  CMD_TAIL: { at: 0x20, size: 4, writable: 0xffn },
  CMD_HEAD: { at: 0x24, size: 4 },
  EVT_BASE: { at: 0x28, size: 8, writable: 0x000f_ffff_ffff_f000n },
  EVT_HEAD: { at: 0x30, size: 4, writable: 0x7fn },
  EVT_TAIL: { at: 0x34, size: 4 },
} as const satisfies RegisterTable;

export const FRAME_BYTES = 0x1000;

/** `TOY1` in memory order. */
export const TOY_ID = 0x3159_4f54;

export const CAPS = layout('CAPS', 'README Registers', 32, {
  NEST: flag(0),
  VIRTUAL: flag(1),
  PASID: flag(2),
  DIRTY: flag(3),
  SNOOP: flag(4),
  WRITE_ONLY: flag(5),
  EXECUTE: flag(6),
  LARGE: flag(7),
  REPORT: flag(8),
  BYPASS: flag(9),
  INFO: flag(10),
  OUTPUT_BITS: uint(21, 16),
});

export const CTRL_ENABLE = 1;
export const STATUS = { RUNNING: 1, CMD_ERROR: 2, EVT_LOST: 4 } as const;

/** Both rings are one 4 KiB page. */
export const COMMAND_ENTRIES = 256;
export const COMMAND_BYTES = 16;
export const EVENT_ENTRIES = 128;
export const EVENT_BYTES = 32;

/** The interrupt that says there are events. */
export const EVENT_IRQ = 'event';
