import {
  type DriverPorts,
  ensure,
  type FaultRecord,
  IommuError,
  isIommuError,
  type UnitDescription,
} from '@iommukit/core';
import { QUEUE, STATUS } from '../format/registers.ts';
import type { VirtioDevice } from './device.ts';
import { DomainIds } from './domain-ids.ts';
import { EventConsumer, type RawFault } from './event-consumer.ts';
import { toRecord } from './faults.ts';
import { VirtioMmio } from './mmio.ts';
import { type DeviceFacts, negotiate } from './probe.ts';
import { RequestQueue } from './request-queue.ts';

/** Entries used of a queue, whatever the device allows: enough for a batch, small enough to allocate at will. */
const QUEUE_SIZE = 256;
const IRQ = 'virtio';

/** One device brought up: its queues, and what the domains of this driver share. */
export class Unit {
  readonly facts: DeviceFacts;
  readonly queue: RequestQueue;
  readonly ids: DomainIds;
  /** Highest physical address of the platform. */
  readonly hostLast: bigint;
  /** Whether devices that are in no domain are refused; else blocking needs an empty domain. */
  readonly detachedIsBlocked: boolean;
  readonly devices = new Map<number, VirtioDevice>();
  listener: ((fault: FaultRecord) => void) | null = null;
  readonly #ports: DriverPorts;
  readonly #mmio: VirtioMmio;
  readonly #events: EventConsumer;
  readonly #faults: FaultRecord[] = [];
  #depth = 0;
  #deaf = false;

  /** ENODEV, ETIMEDOUT, ENOMEM; leaves the device reset and no memory behind. */
  constructor(ports: DriverPorts, description: UnitDescription) {
    this.#ports = ports;
    this.#mmio = new VirtioMmio(ports.mmio, ports.time);
    this.hostLast = (1n << BigInt(description.hostAddressBits)) - 1n;
    const undo: (() => void)[] = [];
    try {
      this.facts = negotiate(this.#mmio);
      undo.push(() => this.#mmio.reset());
      this.ids = new DomainIds(this.facts.domains.start, this.facts.domains.last);
      this.queue = this.#makeRequestQueue();
      undo.push(() => this.queue.free());
      this.#events = this.#makeEventQueue();
      undo.push(() => this.#events.free());
      this.detachedIsBlocked = this.#goLive();
    } catch (error) {
      for (const step of undo) step();
      ports.irq[IRQ]?.handle(null);
      throw error;
    }
  }

  /** Stops the device before its memory goes. */
  release(): void {
    this.#ports.irq[IRQ]?.handle(null);
    this.#mmio.reset();
    this.queue.free();
    this.#events.free();
  }

  /** Runs an operation; faults that arrive meanwhile are delivered when the outermost one is over. */
  operation<T>(body: () => T): T {
    this.#depth++;
    try {
      return body();
    } finally {
      this.#depth--;
      this.#deliver();
    }
  }

  #makeRequestQueue(): RequestQueue {
    const { memory, pages, time } = this.#ports;
    const { eventIdx, indirect, probeSize } = this.facts;
    const size = this.#queueSize(QUEUE.REQUEST);
    ensure(size >= 2, 'ENODEV', 'the request queue is too small');
    return new RequestQueue({ memory, pages, time, mmio: this.#mmio }, size, { eventIdx, indirect, probeSize });
  }

  #makeEventQueue(): EventConsumer {
    const { memory, pages } = this.#ports;
    const size = this.#queueSize(QUEUE.EVENT);
    ensure(size >= 1, 'ENODEV', 'the device has no event queue');
    return new EventConsumer(memory, pages, size, this.facts.eventIdx);
  }

  /** A split queue has a power of two of entries, whatever the device's maximum is; 0 where there is no queue. */
  #queueSize(index: number): number {
    const most = Math.min(this.#mmio.queueSizeMax(index), QUEUE_SIZE);
    return most === 0 ? 0 : 2 ** Math.floor(Math.log2(most));
  }

  /** Starts the queues and closes the device for whoever is attached to nothing. True when that worked. */
  #goLive(): boolean {
    this.queue.start();
    this.#events.start(this.#mmio);
    this.#ports.irq[IRQ]?.handle(() => this.#interrupt());
    this.#mmio.addStatus(STATUS.DRIVER_OK);
    if (this.facts.bypassConfig) this.#mmio.bypass = 0;
    if ((this.#mmio.status & STATUS.DEVICE_NEEDS_RESET) !== 0)
      throw new IommuError('ENODEV', 'the device needs a reset');
    return !this.facts.bypassConfig || this.#mmio.bypass === 0;
  }

  #interrupt(): void {
    if (this.#mmio.takeInterrupts() === 0) return;
    for (const raw of this.#takeReports()) {
      this.#faults.push(toRecord(raw, this.devices.get(raw.fields.endpoint)));
    }
    this.#deliver();
  }

  /** A broken event queue has nobody to tell: reports stop, requests go on. */
  #takeReports(): readonly RawFault[] {
    if (this.#deaf) return [];
    try {
      return this.#events.drain();
    } catch (error) {
      if (!isIommuError(error)) throw error;
      this.#deaf = true;
      return [];
    }
  }

  #deliver(): void {
    while (this.#depth === 0 && this.#faults.length > 0) {
      const fault = this.#faults.shift()!;
      this.listener?.(fault);
    }
  }
}
