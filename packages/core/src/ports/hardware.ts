import type { DmaAnswer, DmaRequest } from './dma.ts';
import type { InterruptLine } from './interrupt.ts';
import type { PhysicalMemory } from './memory.ts';
import type { MmioRegion } from './mmio.ts';
import type { HardwareProbe } from './probe.ts';

/** All a hardware model is given. */
export interface HardwarePorts {
  readonly memory: PhysicalMemory;
  /** Wired interrupts by the name the unit's configuration gives them. */
  readonly irq: Readonly<Record<string, InterruptLine>>;
  /**
   * Asks the machine to run `work` later, under its schedule: at once after the current access, after n polls, or in
   * seeded order. A doorbell is a request, not a completion. Pass the same function object every time.
   */
  defer(work: () => void): void;
}

/** The hardware half of a vendor: what the machine sees of it. */
export interface HardwareModel {
  readonly mmio: MmioRegion;
  /** Size of the register frame in bytes. */
  readonly mmioBytes: number;
  /** The upstream port. Never throws, whatever memory holds; fills `answer` and, on a fault, records as the manual says. */
  translate(request: DmaRequest, answer: DmaAnswer): void;
  /**
   * A board-level reset: registers, caches and internal state as after power-on. Memory is not touched.
   */
  reset(): void;
  /**
   * Wakes the model from a dump: takes the register frame as it stood (identification registers included) with cold
   * caches, and processes no queue. `frame` may be shorter than {@link mmioBytes}.
   */
  wake(frame: Uint8Array): void;
  /** Drops everything cached; for bisecting a stale entry and for cold benchmarks. Not architectural. */
  dropCaches(): void;
  probe: HardwareProbe | null;
}
