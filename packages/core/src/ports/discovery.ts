/** What firmware tables (IORT, DMAR, VIOT) tell a driver about one unit. Frozen data, no behaviour. */
export interface UnitDescription {
  readonly id: string;
  /** Physical base of the register frame. */
  readonly mmioBase: bigint;
  /** Host address width in bits: what no register tells (DMAR). */
  readonly hostAddressBits: number;
  /** Regions firmware asks for; `devices` names the requester ids they hold for. */
  readonly reservations: readonly FirmwareReservation[];
  /** Vendor-specific facts of the same kind (flags of the table entry). */
  readonly properties: Readonly<Record<string, string | number | boolean>>;
}

export interface FirmwareReservation {
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
  readonly relaxable: boolean;
  readonly devices: readonly number[];
}

/** What the bus tells about one device (function, named component). */
export interface DeviceDescription {
  readonly name: string;
  /** All ids its DMA may carry (aliases included), the device's own first. */
  readonly requesterIds: readonly number[];
  /** Width of the PASIDs it can emit; 0 = none. */
  readonly pasidBits: number;
  readonly ats: boolean;
  readonly pri: boolean;
  /** A PCI virtual function: it shares the page-request interface of its physical one. */
  readonly virtualFunction?: boolean;
  /** Its requests with PASID may ask for execution, or for privileged access. */
  readonly pasidExec?: boolean;
  readonly pasidPriv?: boolean;
  /** Firmware says its DMA cannot be made non-coherent (IORT CANWBS). */
  readonly coherent: boolean;
  /** Devices with the same word cannot be isolated from each other and share one group; null = a group of its own. */
  readonly isolation: string | null;
  /** DMA windows topology leaves open, as inclusive ranges; empty = no limit. Their complement is reserved. */
  readonly busLimits: readonly { readonly start: bigint; readonly last: bigint }[];
}
