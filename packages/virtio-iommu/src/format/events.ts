import { big, flag, layout, uint } from '@iommukit/bits';

/** Why a DMA was refused, as the event queue reports it. Virtio 1.3 §5.13.6.9. */
export const FAULT_CODE = { UNKNOWN: 0, DOMAIN: 1, MAPPING: 2 } as const;
export type FaultCode = (typeof FAULT_CODE)[keyof typeof FAULT_CODE];

const REASONS = { 0: 'UNKNOWN', 1: 'DOMAIN', 2: 'MAPPING' } as const;

/** A report whose `reserved` bytes (31:8) are not zero is to be ignored by the driver. */
export const FAULT = layout(
  'virtio_iommu_fault',
  'virtio 1.3 5.13.6.9',
  192,
  {
    reason: uint(7, 0, REASONS),
    READ: flag(32),
    WRITE: flag(33),
    ADDRESS: flag(40),
    endpoint: uint(95, 64),
    address: big(191, 128),
  },
  { ignored: [[127, 96]] },
);
export const FAULT_BYTES = 24;

export const FAULT_FLAG = { READ: 1, WRITE: 2, ADDRESS: 0x100 } as const;
/** Indices of 32-bit words in a report. */
export const FAULT_WORD = { REASON: 0, FLAGS: 1, ENDPOINT: 2, RESERVED: 3, ADDRESS: 4 } as const;

/** Mnemonic of a fault code without its prefix; `ABORT` for -1, a refusal that is not reported. */
export function faultName(code: number): string {
  if (code === -1) return 'ABORT';
  return (REASONS as Record<number, string>)[code] ?? 'UNKNOWN';
}
