import { maskOf } from '@iommukit/bits';
import type { DriverPorts, UnitDescription } from '@iommukit/core';
import { FSTS, REGISTERS, RTADDR, TTM } from '../format/index.ts';
import { DescriptorBatch } from './descriptors.ts';
import { DomainIds } from './domain-ids.ts';
import { FaultEvents } from './fault-events.ts';
import { type Features, readFeatures } from './features.ts';
import { GlobalCommand } from './global-command.ts';
import { InvalidationQueue } from './invalidation-queue.ts';
import type { Invalidations } from './invalidations.ts';
import type { OperationGate } from './operation-gate.ts';
import { QueuedInvalidations } from './queued-invalidations.ts';
import { RegisterInvalidations } from './register-invalidations.ts';
import { RootTable } from './root-table.ts';

const { IQE, ICE, ITE } = FSTS.fields;
const QUEUE_ERRORS = Number(maskOf(IQE) | maskOf(ICE) | maskOf(ITE));

/** A unit that is up: everything its devices and domains share. */
export class Unit {
  readonly ports: DriverPorts;
  readonly description: UnitDescription;
  readonly features: Features;
  readonly gate: OperationGate;
  readonly invalidations: Invalidations;
  readonly root: RootTable;
  readonly domainIds: DomainIds;
  readonly faults: FaultEvents;
  readonly #commands: GlobalCommand;
  readonly #queue: InvalidationQueue | null;
  /** Table pages the hardware may still walk, because the invalidation before their release failed. */
  readonly #quarantine: number[] = [];

  /**
   * Reads the unit's registers and allocates; commands nothing yet. ENODEV: no usable unit; ENOMEM.
   */
  constructor(ports: DriverPorts, description: UnitDescription, gate: OperationGate) {
    this.ports = ports;
    this.description = description;
    this.gate = gate;
    this.features = readFeatures(ports.mmio, description.hostAddressBits);
    const { cap, ecap, scalable, domainIds } = this.features;
    this.#commands = new GlobalCommand(ports);
    this.faults = new FaultEvents(ports, this.features);
    this.domainIds = new DomainIds(domainIds);
    this.root = new RootTable(ports.memory, ports.pages, scalable);
    try {
      this.#queue = ecap.QI ? new InvalidationQueue(ports, scalable) : null;
    } catch (error) {
      this.root.free();
      throw error;
    }
    this.invalidations = this.#queue
      ? new QueuedInvalidations(
          this.#queue,
          new DescriptorBatch({ drainWrites: cap.DWD, drainReads: cap.DRD, throttle: ecap.DIT }),
        )
      : new RegisterInvalidations(ports, this.features);
  }

  /** Takes the unit from whatever state firmware left to translating, with every device refused. ETIMEDOUT. */
  bringUp(): void {
    this.#silence();
    this.faults.clear();
    if (this.#queue) {
      this.#clearQueueErrors();
      this.#queue.program();
      this.#commands.setQueue(true);
    }
    this.#setRootTable();
    this.faults.enable(this.ports.irq.fault);
    this.#commands.setTranslation(true);
    this.#openProtectedRegions();
  }

  /** Translation and queue off, memory given back. ETIMEDOUT: the unit may still read its tables, they stay allocated. */
  takeDown(): void {
    this.faults.disable();
    if (this.#commands.translationEnabled) this.#commands.setTranslation(false);
    if (this.#queue && this.#commands.queueEnabled) {
      this.#queue.drain();
      this.#commands.setQueue(false);
    }
    this.free();
  }

  free(): void {
    for (const page of this.#quarantine.splice(0)) this.ports.pages.free(page);
    this.#queue?.free();
    this.root.free();
  }

  /** RWBF=1: entries that became present without any invalidation reach the unit only through this (VT-d 6.8). */
  flushWriteBuffer(): void {
    if (this.features.cap.RWBF) this.#commands.flushWriteBuffer();
  }

  quarantine(pages: Iterable<number>): void {
    this.#quarantine.push(...pages);
  }

  /** An earlier owner (firmware, a crashed kernel) may have left translation or the queue on. */
  #silence(): void {
    if (this.#commands.translationEnabled) this.#commands.setTranslation(false);
    if (!this.#queue || !this.#commands.queueEnabled) return;
    const { mmio, time } = this.ports;
    for (let turn = 0; turn < 1000 && mmio.read32(REGISTERS.IQH.at) !== mmio.read32(REGISTERS.IQT.at); turn++)
      time.relax();
    this.#commands.setQueue(false);
  }

  /** An error bit left standing would keep the unit from fetching the first descriptor. */
  #clearQueueErrors(): void {
    const { mmio } = this.ports;
    const stuck = mmio.read32(REGISTERS.FSTS.at) & QUEUE_ERRORS;
    if (stuck !== 0) mmio.write32(REGISTERS.FSTS.at, stuck);
  }

  /** With ESRTPS the unit drops all its caches by itself; else in the order of VT-d 6.5.3.3. */
  #setRootTable(): void {
    const { scalable, cap } = this.features;
    const [lo, hi] = RTADDR.encode({ RTA: BigInt(this.root.pa), TTM: scalable ? TTM.SCALABLE : TTM.LEGACY });
    this.ports.mmio.write64(REGISTERS.RTADDR.at, (BigInt(hi!) << 32n) | BigInt(lo!));
    this.#commands.setRootTable();
    if (cap.ESRTPS) return;
    this.invalidations.contextGlobal();
    if (scalable) this.invalidations.pasidGlobal();
    this.invalidations.iotlbGlobal();
    this.invalidations.sync();
  }

  /** Firmware may have closed memory to all DMA until translation is on (VT-d 3.17). */
  #openProtectedRegions(): void {
    const { cap } = this.features;
    const { mmio, time } = this.ports;
    if ((!cap.PLMR && !cap.PHMR) || mmio.read32(REGISTERS.PMEN.at) < 0x8000_0000) return;
    mmio.write32(REGISTERS.PMEN.at, 0);
    for (let turn = 0; turn < 1000 && (mmio.read32(REGISTERS.PMEN.at) & 1) !== 0; turn++) time.relax();
  }
}
