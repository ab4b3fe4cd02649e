import { REGISTERS } from '../format/index.ts';
import type { UnitState } from './state.ts';

const IM = 1 << 31;
const IP = 1 << 30;

/** The registers of one event group; `upper` exists only with ECAP.EIM and reads 0 without. */
export interface EventRegisters {
  readonly control: number;
  readonly data: number;
  readonly address: number;
  readonly upper: number;
}

const at = (name: 'FECTL' | 'IECTL'): EventRegisters => {
  const control = REGISTERS[name].at / 4;
  return { control, data: control + 1, address: control + 2, upper: control + 3 };
};
export const FAULT_EVENT = at('FECTL');
export const COMPLETION_EVENT = at('IECTL');

/**
 * The event machine that faults and invalidation completions share (VT-d 7.3): one message per transition from no
 * status to some status, held back while masked. The message is a memory write at the programmed address; it is never
 * remapped.
 */
export class EventMessage {
  readonly #state: UnitState;
  readonly #at: EventRegisters;
  /** True when any status bit of the group is set. */
  readonly #pending: () => boolean;

  constructor(state: UnitState, registers: EventRegisters, pending: () => boolean) {
    this.#state = state;
    this.#at = registers;
    this.#pending = pending;
  }

  get pending(): boolean {
    return this.#pending();
  }

  /** After a status bit of the group was set; `already` tells whether another one stood before. */
  raise(already: boolean): void {
    if (already) return;
    this.#state.words[this.#at.control]! |= IP;
    this.deliver();
  }

  /** After software wrote the control register. */
  deliver(): void {
    const { words, memory } = this.#state;
    if ((words[this.#at.control]! & (IM | IP)) !== IP) return;
    words[this.#at.control]! &= ~IP;
    memory.write32(words[this.#at.upper]!, words[this.#at.address]! & -4, words[this.#at.data]!);
  }

  /** After software cleared status bits. */
  statusCleared(): void {
    if (!this.#pending()) this.#state.words[this.#at.control]! &= ~IP;
  }
}
