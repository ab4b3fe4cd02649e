import type { InterruptController } from './interrupt/controller.ts';
import type { PageAllocator } from './memory/allocator.ts';
import type { SparseMemory } from './memory/sparse.ts';
import type { Observers } from './observer.ts';
import type { Scheduler } from './schedule/scheduler.ts';

/** What units and endpoints use of the machine they sit on. */
export interface Board {
  readonly memory: SparseMemory;
  readonly pages: PageAllocator;
  readonly interrupts: InterruptController;
  readonly scheduler: Scheduler;
  readonly observers: Observers;
  hardwareMemory(): SparseMemory;
  softwareMemory(): SparseMemory;
  /** One tick: due work runs, then interrupts are delivered. */
  tick(): void;
  /** The same without time passing: the end of a DMA. */
  settle(): void;
  relax(): void;
}
