import { type DmaAnswer, type FaultReasonName, faultReasonName, type VendorPlugin } from '@iommukit/core';

/** Why a DMA stopped, as the device and an onlooker on the unit see it. */
export interface DmaFault {
  /** Address of the first byte that was not moved. */
  readonly iova: bigint;
  readonly reason: FaultReasonName;
  /** The architecture's mnemonic and number; `ABORT` and -1 where it has none. */
  readonly name: string;
  readonly code: number;
  /** The native record in memory order; null when the unit recorded nothing. */
  readonly record: Uint8Array | null;
  /** Refused by the bus, not by the unit: outside the bus's windows, or nothing answers at the physical address. */
  readonly atBus: boolean;
}

export interface DmaResult {
  readonly ok: boolean;
  /** Bytes moved before the first fault. */
  readonly done: number;
  /** What was read, {@link done} bytes; empty for a write. */
  readonly data: Uint8Array;
  /** Empty, or the one that stopped it. */
  readonly faults: readonly DmaFault[];
}

export function faultOf(plugin: VendorPlugin, iova: bigint, answer: DmaAnswer): DmaFault {
  const { reason, code, record, recordWords } = answer;
  return {
    iova,
    reason: faultReasonName(reason),
    name: plugin.faultName(code),
    code,
    record: recordWords === 0 ? null : new Uint8Array(record.slice(0, recordWords).buffer),
    atBus: false,
  };
}

export const faultAtBus = (iova: bigint, reason: FaultReasonName): DmaFault => ({
  iova,
  reason,
  name: 'ABORT',
  code: -1,
  record: null,
  atBus: true,
});
