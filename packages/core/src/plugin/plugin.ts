import type { Capability } from '../ops/capability.ts';
import type { IommuDriver } from '../ops/driver.ts';
import type { UnitDescription } from '../ports/discovery.ts';
import type { DriverPorts } from '../ports/driver.ts';
import type { HardwareModel, HardwarePorts } from '../ports/hardware.ts';
import type { NativeDecoder } from './decoder.ts';
import type { DumpSupport } from './dump.ts';
import type { GuestKit } from './guest.ts';
import type { ReplaySupport } from './replay.ts';

/** One way to build the vendor's hardware, under a name. The conformance suite runs all of them. */
export interface VendorConfig<H = unknown> {
  readonly name: string;
  readonly title: string;
  /** What this instance of the hardware advertises; only the vendor's own model looks inside. */
  readonly hardware: H;
  /** Goes into the {@link UnitDescription} the driver is given. */
  readonly properties: UnitDescription['properties'];
  /** Names of the wired interrupts the unit has. */
  readonly interrupts: readonly string[];
  /** Asserted against what the driver finds: a capability that gets lost must turn a run red. */
  readonly declared: readonly Capability[];
}

/** A vendor: the pair of halves and what its users need to look at it. The core names none. */
export interface VendorPlugin {
  readonly id: string;
  readonly title: string;
  /** The first is the default. */
  readonly configs: readonly VendorConfig[];
  createHardware(ports: HardwarePorts, config: VendorConfig): HardwareModel;
  createDriver(ports: DriverPorts, unit: UnitDescription): IommuDriver;
  readonly decoder: NativeDecoder;
  /** The architecture's mnemonic for `DmaAnswer.code`; `ABORT` for -1, a refusal the architecture keeps silent about. */
  faultName(code: number): string;
  readonly dump?: DumpSupport;
  readonly replay?: ReplaySupport;
  readonly guest?: GuestKit;
}
