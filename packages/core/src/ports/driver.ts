import type { InterruptSource } from './interrupt.ts';
import type { DmaPages, PhysicalMemory } from './memory.ts';
import type { MmioRegion } from './mmio.ts';

/** All a driver is given. */
export interface DriverPorts {
  readonly mmio: MmioRegion;
  readonly memory: PhysicalMemory;
  readonly pages: DmaPages;
  readonly irq: Readonly<Record<string, InterruptSource>>;
  readonly time: Clock;
}

/** Time moves on each MMIO access and on each {@link Clock.relax}; pending hardware work runs as it moves. */
export interface Clock {
  /** One turn of a polling loop, as `cpu_relax()`. A driver that waits on a word in memory must call it. */
  relax(): void;
}
