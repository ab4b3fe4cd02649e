import type { AccessName } from '../ports/dma.ts';
import type { FaultReasonName } from './reason.ts';

/** A fault as a driver reports it, read from its unit's native record. What the record did not carry is null. */
export interface FaultRecord {
  readonly reason: FaultReasonName;
  /** The architecture's mnemonic (`F_TRANSLATION`, `SGN.5`, `MAPPING`) and number. */
  readonly name: string;
  readonly code: number;
  readonly device: number;
  readonly pasid: number | null;
  /** Input address, as far as the record carries it (VT-d: the page). */
  readonly iova: bigint | null;
  readonly access: AccessName | null;
  /** The native record in memory order. */
  readonly raw: Uint8Array;
}
