import type { DriverPorts } from '@iommukit/core';
import { CommandProducer } from './command-producer.ts';
import { EventConsumer } from './event-consumer.ts';
import type { Features } from './features.ts';
import { IdAllocator } from './id-allocator.ts';
import { Invalidator } from './invalidation.ts';
import { StreamTable } from './stream-table.ts';

/** One unit while it is up: its queues, its stream table and its tags. */
export class Smmu {
  readonly ports: DriverPorts;
  readonly features: Features;
  readonly queue: CommandProducer;
  readonly events: EventConsumer;
  readonly streams: StreamTable;
  readonly asids: IdAllocator;
  readonly vmids: IdAllocator;
  readonly invalidator: Invalidator;

  /** Allocates everything; touches no register. Throws IommuError ENOMEM, leaving nothing behind. */
  constructor(ports: DriverPorts, features: Features) {
    this.ports = ports;
    this.features = features;
    const made: { free(): void }[] = [];
    const keep = <T extends { free(): void }>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      this.queue = keep(new CommandProducer(ports, features.cmdqLg2));
      this.events = keep(new EventConsumer(ports, features.eventqLg2, this.queue));
      this.streams = keep(new StreamTable(ports, features, this.queue));
    } catch (error) {
      for (const part of made) part.free();
      throw error;
    }
    this.asids = new IdAllocator('ASID', features.asidBits);
    this.vmids = new IdAllocator('VMID', features.vmidBits);
    this.invalidator = new Invalidator(this.queue, features);
  }

  /** Runs one operation; faults that come in meanwhile are reported after it. */
  operation<T>(run: () => T): T {
    this.events.hold();
    try {
      return run();
    } finally {
      this.events.letGo();
    }
  }

  /** Gives queues and stream table back; the unit must be off. */
  free(): void {
    this.streams.free();
    this.events.free();
    this.queue.free();
  }
}
