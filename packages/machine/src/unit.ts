import type {
  DeviceDescription,
  DriverPorts,
  FirmwareReservation,
  HardwareModel,
  InterruptLine,
  InterruptSource,
  IommuDriver,
  UnitDescription,
  VendorConfig,
  VendorPlugin,
} from '@iommukit/core';
import type { Board } from './board.ts';
import { Endpoint } from './endpoint/endpoint.ts';
import { BusFrame } from './mmio/bus-frame.ts';
import { SoftwareMmio } from './mmio/software-port.ts';

export interface UnitOptions {
  /** Default: the vendor's id with a number. */
  readonly id?: string;
  /** Physical base of the register frame; default: the next free place in the machine's MMIO range. */
  readonly mmioBase?: bigint;
  readonly reservations?: readonly FirmwareReservation[];
  /** Default 52. */
  readonly hostAddressBits?: number;
}

/** One IOMMU on the board: its hardware, the ports software reaches it by, and (made on first use) its driver. */
export class Unit {
  readonly id: string;
  readonly plugin: VendorPlugin;
  readonly config: VendorConfig;
  readonly description: UnitDescription;
  readonly hardware: HardwareModel;
  /** What the driver is given. Tests may use them to be software themselves. */
  readonly ports: DriverPorts;
  readonly #board: Board;
  #driver: IommuDriver | null = null;

  constructor(board: Board, plugin: VendorPlugin, config: VendorConfig, description: UnitDescription) {
    this.#board = board;
    this.id = description.id;
    this.plugin = plugin;
    this.config = config;
    this.description = description;
    const lines: Record<string, InterruptLine> = {};
    const sources: Record<string, InterruptSource> = {};
    for (const name of config.interrupts) {
      const { line, source } = board.interrupts.create();
      lines[name] = line;
      sources[name] = source;
    }
    const defer = (work: () => void) => board.scheduler.defer(work);
    this.hardware = plugin.createHardware({ memory: board.hardwareMemory(), irq: lines, defer }, config);
    this.ports = {
      mmio: new SoftwareMmio(this, this.hardware.mmio, board, board.observers),
      memory: board.softwareMemory(),
      pages: board.pages,
      irq: sources,
      time: { relax: () => board.relax() },
    };
    const { mmioBase } = description;
    board.memory.attachDevice(mmioBase, mmioBase + BigInt(this.hardware.mmioBytes) - 1n, new BusFrame(this.hardware));
  }

  /** The vendor's driver, not probed yet. A machine whose drivers are never asked for has none. */
  get driver(): IommuDriver {
    this.#driver ??= this.plugin.createDriver(this.ports, this.description);
    return this.#driver;
  }

  /** A device behind this unit. Defaults: no PASIDs, no ATS or PRI, alone in its group, no bus limits. */
  endpoint(description: Partial<DeviceDescription> & { readonly requesterIds: readonly number[] }): Endpoint {
    return new Endpoint(this, this.#board, description);
  }
}
