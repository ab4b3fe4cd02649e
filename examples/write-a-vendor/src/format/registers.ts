import type { RegisterTable } from '@iommukit/bits';

/** Bits of the registers that hold the address of a page, or an index into a ring of one page (manual 2). */
export const PAGE_BITS = 0x000f_ffff_ffff_f000n;
export const COMMAND_INDEX = 0x1ff;
export const RECORD_INDEX = 0xff;

/** Manual 2. The bases stand still while EN is set. */
export const REGISTERS = {
  ID: { at: 0x00, size: 4, reset: 0x5453_3031n },
  CTRL: { at: 0x04, size: 4, writable: 0x1n },
  DTBASE: { at: 0x08, size: 8, writable: PAGE_BITS, guard: 'stopped' },
  CQBASE: { at: 0x10, size: 8, writable: PAGE_BITS, guard: 'stopped' },
  CQTAIL: { at: 0x18, size: 4, writable: BigInt(COMMAND_INDEX) },
  CQHEAD: { at: 0x1c, size: 4 },
  FLBASE: { at: 0x20, size: 8, writable: PAGE_BITS, guard: 'stopped' },
  FLHEAD: { at: 0x28, size: 4, writable: BigInt(RECORD_INDEX) },
  FLTAIL: { at: 0x2c, size: 4 },
  STATUS: { at: 0x30, size: 4, clearOnOne: 0x3n },
} as const satisfies RegisterTable;

export const FRAME_BYTES = 0x1000;
export const ID_TS1 = 0x5453_3031;
export const CTRL_EN = 1;
export const STATUS_LOST = 1;
export const STATUS_CQERR = 2;
