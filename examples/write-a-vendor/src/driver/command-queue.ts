import type { Words } from '@iommukit/bits';
import { type DriverPorts, IommuError } from '@iommukit/core';
import { COMMAND_INDEX, REGISTERS } from '../format/registers.ts';

/** Turns of the polling loop after which the unit counts as dead. */
const PATIENCE = 10_000;

/** One command at a time: written, announced, waited for. */
export class CommandQueue {
  readonly #ports: DriverPorts;
  #base = 0;
  #tail = 0;

  constructor(ports: DriverPorts) {
    this.#ports = ports;
  }

  /** Starts an empty ring in the page at `base`, before the unit is enabled. */
  start(base: number): void {
    this.#base = base;
    this.#tail = 0;
    this.#ports.mmio.write64(REGISTERS.CQBASE.at, BigInt(base));
    this.#ports.mmio.write32(REGISTERS.CQTAIL.at, 0);
  }

  /** Throws ETIMEDOUT. A command that was not taken stays in the ring: it only ever drops what is remembered. */
  run(command: Words): void {
    const { memory, mmio } = this.#ports;
    const next = (this.#tail + 1) & COMMAND_INDEX;
    // Full only after as many commands that nobody took: the oldest must not be overwritten under the unit's hands.
    if (next === mmio.read32(REGISTERS.CQHEAD.at)) throw new IommuError('ETIMEDOUT', 'the command queue is full');
    memory.write64(0, this.#base + this.#tail * 8, command[1]! | 0, command[0]! | 0);
    this.#tail = next;
    mmio.write32(REGISTERS.CQTAIL.at, next);
    this.#wait();
  }

  #wait(): void {
    const { mmio, time } = this.#ports;
    for (let turn = 0; turn < PATIENCE; turn++) {
      if (mmio.read32(REGISTERS.CQHEAD.at) === this.#tail) return;
      time.relax();
    }
    throw new IommuError('ETIMEDOUT', 'the unit takes no commands');
  }
}
