import type { HardwareModel } from '../ports/hardware.ts';

/** One request of a recorded stream. */
export interface RecordedRequest {
  readonly seq: number;
  /** The whole buffer; from `writeOffset` on it is the device's to write. */
  readonly raw: Uint8Array;
  readonly writeOffset: number;
}

export interface ReplayedRequest {
  readonly seq: number;
  /** Request type's mnemonic without prefix, or `UNKNOWN`. */
  readonly type: string;
  /** Status mnemonic without prefix; null when the device wrote no status. */
  readonly status: string | null;
  /** Length the device reported as used; -1 when it never completed the request. */
  readonly used: number;
  /** Device-written bytes. */
  readonly raw: Uint8Array;
}

export interface ReplayOptions {
  /** Endpoint ids that exist. */
  readonly endpoints: readonly number[];
  /** Vendor-specific settings (config space, reserved regions), as parsed from the user's JSON; null = defaults. */
  readonly config: unknown;
}

export interface ReplaySession {
  readonly hardware: HardwareModel;
  submit(request: RecordedRequest): ReplayedRequest;
}

export interface ReplaySupport {
  /** The ids a recorded request names, for the default endpoint list. */
  endpointsOf(request: RecordedRequest): readonly number[];
  /** Throws IommuError EINVAL for settings that make no sense. */
  open(options: ReplayOptions): ReplaySession;
}
