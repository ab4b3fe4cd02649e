import type { InterruptLine, InterruptSource } from '@iommukit/core';
import type { BusDevice } from '../memory/sparse-source.ts';

/** Where message interrupts are written: the address range of the local APICs, one page for each interrupt. */
export const DOORBELL_BASE = 0xfee0_0000n;
export const DOORBELL_LAST = 0xfeef_ffffn;
const PAGE_SHIFT = 12;
const MAX_INTERRUPTS = 0x100 - 0x20;
/** Message data of the first interrupt; the next ones count up. */
const FIRST_DATA = 0x20;
/** A handler that raises its own interrupt again waits for the next access after this many deliveries. */
const DELIVERIES_PER_ACCESS = 1024;

/** Both ends of one interrupt. The ends are separate objects: neither half can reach the other through them. */
export interface Interrupt {
  readonly line: InterruptLine;
  readonly source: InterruptSource;
}

/** Edges wait here until the access that caused them is over. A second edge before delivery is the same interrupt. */
export class InterruptController {
  /** Messages whose address and data belong to no interrupt, and edges nobody handled. */
  spurious = 0;
  private readonly handlers: ((() => void) | null)[] = [];
  private readonly waiting: number[] = [];
  private delivering = false;
  private readonly messages: boolean;

  /** `messages` false: a platform without message interrupts. */
  constructor(messages: boolean) {
    this.messages = messages;
  }

  /** The bus device at {@link DOORBELL_BASE}. A message is one 32-bit write. */
  readonly doorbell: BusDevice = {
    write32: (offset: number, value: number) => {
      const index = offset >>> PAGE_SHIFT;
      const known = this.messages && index < this.handlers.length;
      if (known && offset === index << PAGE_SHIFT && value === FIRST_DATA + index) this.raise(index);
      else this.spurious++;
    },
  };

  create(): Interrupt {
    const index = this.handlers.length;
    if (index === MAX_INTERRUPTS) throw new RangeError(`more than ${MAX_INTERRUPTS} interrupts`);
    this.handlers.push(null);
    const address = DOORBELL_BASE + (BigInt(index) << BigInt(PAGE_SHIFT));
    const msi = this.messages ? Object.freeze({ address, data: FIRST_DATA + index }) : null;
    const line: InterruptLine = { pulse: () => this.raise(index) };
    const source: InterruptSource = {
      msi,
      handle: (handler) => {
        this.handlers[index] = handler;
      },
    };
    return { line: Object.freeze(line), source: Object.freeze(source) };
  }

  get idle(): boolean {
    return this.waiting.length === 0;
  }

  /** Runs the handlers of what waits. Accesses of the handlers raise into the same queue; they do not nest. */
  deliver(): void {
    if (this.delivering) return;
    this.delivering = true;
    try {
      for (let n = 0; n < DELIVERIES_PER_ACCESS && this.waiting.length !== 0; n++) {
        const handler = this.handlers[this.waiting.shift()!];
        if (handler) handler();
        else this.spurious++;
      }
    } finally {
      this.delivering = false;
    }
  }

  /** Forgets edges on their way. Handlers stay: they are software's. */
  reset(): void {
    this.waiting.length = 0;
  }

  private raise(index: number): void {
    if (!this.waiting.includes(index)) this.waiting.push(index);
  }
}
