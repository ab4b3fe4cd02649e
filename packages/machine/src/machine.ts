import type { MmioRegion, VendorConfig, VendorPlugin } from '@iommukit/core';
import type { Board } from './board.ts';
import { frozen } from './frozen.ts';
import { DOORBELL_BASE, DOORBELL_LAST, InterruptController } from './interrupt/controller.ts';
import { PageAllocator } from './memory/allocator.ts';
import { ObservedMemory } from './memory/observed.ts';
import { SparseMemory } from './memory/sparse.ts';
import type { Region } from './memory/sparse-source.ts';
import { type MachineObserver, Observers } from './observer.ts';
import { type Schedule, Scheduler } from './schedule/scheduler.ts';
import { Unit, type UnitOptions } from './unit.ts';

/**
 * Where things are, unless the options say otherwise. All below 4 GiB, so that units with narrow address widths work;
 * every other address is free RAM.
 */
export const MEMORY_MAP = {
  /** Register frames of the units, each aligned to at least 1 MiB. */
  mmio: { start: 0x0900_0000n, last: 0x3fff_ffffn },
  /** Pages the drivers allocate. */
  pages: { start: 0x4000_0000n, last: 0x7fff_ffffn },
  /** Doorbells of message interrupts. */
  doorbells: { start: DOORBELL_BASE, last: DOORBELL_LAST },
} as const;

const FRAME_ALIGN = 0x10_0000n;

export interface MachineOptions {
  /** Inclusive ranges; default: all 2^52 bytes. */
  readonly ram?: readonly Region[];
  /** Where drivers' pages come from; default {@link MEMORY_MAP}.pages. */
  readonly pages?: Region;
  /** Default 'at-once'. */
  readonly schedule?: Schedule;
  /** The platform has message interrupts; default true. */
  readonly messageInterrupts?: boolean;
  /** Tells observers every memory write of software and devices, for a trace. Makes those writes slower. */
  readonly record?: boolean;
}

/** The board: the only place that holds both halves of a vendor. */
export class Machine {
  readonly memory: SparseMemory;
  readonly pages: PageAllocator;
  readonly options: MachineOptions;
  readonly #interrupts: InterruptController;
  readonly #scheduler: Scheduler;
  readonly #observers = new Observers();
  readonly #units: Unit[] = [];
  readonly #board: Board;

  constructor(options: MachineOptions = {}) {
    this.options = options;
    this.memory = options.record ? new ObservedMemory(options.ram, this.#observers) : new SparseMemory(options.ram);
    this.#interrupts = new InterruptController(options.messageInterrupts ?? true);
    this.#scheduler = new Scheduler(options.schedule ?? 'at-once');
    this.memory.attachDevice(MEMORY_MAP.doorbells.start, MEMORY_MAP.doorbells.last, this.#interrupts.doorbell);
    const { start, last } = options.pages ?? MEMORY_MAP.pages;
    this.pages = new PageAllocator(this.#softwareMemory(), start, last);
    this.#board = this.#makeBoard();
  }

  get units(): readonly Unit[] {
    return this.#units;
  }

  get schedule(): Schedule {
    return this.#scheduler.schedule;
  }

  /** Work that waits becomes due at the next tick; later work follows the new schedule. */
  set schedule(schedule: Schedule) {
    this.#scheduler.choose(schedule);
    this.#observers.tell((observer) => observer.schedule?.(schedule));
  }

  /** Messages nobody owns, and interrupts nobody handled. */
  get spuriousInterrupts(): number {
    return this.#interrupts.spurious;
  }

  /** No hardware work and no interrupt waits. */
  get idle(): boolean {
    return this.#scheduler.idle && this.#interrupts.idle;
  }

  /** Adds a unit of `plugin`, in its first configuration unless told. Throws RangeError for a doubled id or overlapping
   *  frames, and what the vendor throws. */
  addUnit(plugin: VendorPlugin, config?: VendorConfig, options: UnitOptions = {}): Unit {
    const chosen = config ?? plugin.configs[0];
    if (chosen === undefined) throw new RangeError(`${plugin.id} lists no configuration`);
    const id = options.id ?? this.#freeId(plugin.id);
    if (this.#units.some((unit) => unit.id === id)) throw new RangeError(`two units called '${id}'`);
    const description = frozen({
      id,
      mmioBase: options.mmioBase ?? this.#freeFrame(),
      hostAddressBits: options.hostAddressBits ?? 52,
      reservations: options.reservations ?? [],
      properties: chosen.properties,
    });
    const unit = new Unit(this.#board, plugin, chosen, description);
    this.#units.push(unit);
    this.#observers.tell((observer) => observer.unitAdded?.(unit));
    return unit;
  }

  /** The register frame that answers at a physical address, as software reaches it, and the offset in it. */
  mmio(address: bigint): { readonly region: MmioRegion; readonly offset: number; readonly unit: Unit } | null {
    for (const unit of this.#units) {
      const offset = address - unit.description.mmioBase;
      if (offset >= 0n && offset < BigInt(unit.hardware.mmioBytes))
        return { region: unit.ports.mmio, offset: Number(offset), unit };
    }
    return null;
  }

  /** Lets `ticks` ticks pass with software idle. */
  run(ticks = 1): void {
    for (let i = 0; i < ticks; i++) this.#board.relax();
  }

  /** Lets time pass until nothing waits, at most `limit` ticks. False: something still does. */
  runUntilIdle(limit = 10_000): boolean {
    for (let i = 0; i < limit && !this.idle; i++) this.#board.relax();
    return this.idle;
  }

  /** Runs what is due and delivers interrupts; no time passes. */
  settle(): void {
    this.#board.settle();
  }

  /** The reset wire: every unit as after power-on, pending work and interrupts gone. Memory and software stay. */
  reset(): void {
    this.#scheduler.reset();
    this.#interrupts.reset();
    for (const unit of this.#units) unit.hardware.reset();
    this.#observers.tell((observer) => observer.reset?.());
  }

  /** Adds an onlooker; the returned function takes it away. */
  observe(observer: MachineObserver): () => void {
    return this.#observers.add(observer);
  }

  #softwareMemory(): SparseMemory {
    return this.memory instanceof ObservedMemory ? this.memory.observedPort() : this.memory.port();
  }

  #makeBoard(): Board {
    const { memory, pages } = this;
    const interrupts = this.#interrupts;
    const scheduler = this.#scheduler;
    const observers = this.#observers;
    return {
      memory,
      pages,
      interrupts,
      scheduler,
      observers,
      hardwareMemory: () => memory.port(),
      softwareMemory: () => this.#softwareMemory(),
      tick() {
        scheduler.advance();
        if (!interrupts.idle) interrupts.deliver();
      },
      settle() {
        if (scheduler.idle && interrupts.idle) return;
        if (observers.count !== 0) observers.tell((observer) => observer.settle?.());
        scheduler.run();
        interrupts.deliver();
      },
      relax() {
        if (observers.count !== 0) observers.tell((observer) => observer.relax?.());
        this.tick();
      },
    };
  }

  #freeId(vendor: string): string {
    for (let n = 0; ; n++) if (!this.#units.some((unit) => unit.id === `${vendor}-${n}`)) return `${vendor}-${n}`;
  }

  #freeFrame(): bigint {
    let base = MEMORY_MAP.mmio.start;
    for (const { description, hardware } of this.#units) {
      const end = description.mmioBase + BigInt(hardware.mmioBytes);
      if (end > base && description.mmioBase <= MEMORY_MAP.mmio.last)
        base = ((end + FRAME_ALIGN - 1n) / FRAME_ALIGN) * FRAME_ALIGN;
    }
    return base;
  }
}
