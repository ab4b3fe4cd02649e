import type { DmaAnswer, DmaRequest } from '@iommukit/core';
import type { Schedule } from './schedule/scheduler.ts';
import type { Unit } from './unit.ts';

export type AccessSize = 1 | 2 | 4 | 8;

/**
 * An onlooker on the board: sees what crosses between software, devices and units, and cannot act. Requests, answers
 * and bytes are the originals, valid during the call only. Costs nothing while there is none.
 */
export interface MachineObserver {
  unitAdded?(unit: Unit): void;
  /** Software read a register. */
  read?(unit: Unit, offset: number, size: AccessSize, value: number | bigint): void;
  /** Software is about to write a register: memory is as the hardware will find it. */
  write?(unit: Unit, offset: number, size: AccessSize, value: number | bigint): void;
  /** Software or a device wrote memory; `word`: as one 32- or 64-bit access. Only with the machine's `record` option. */
  memory?(address: bigint, bytes: Uint8Array, word: boolean): void;
  /** A unit answered a device's request. */
  dma?(unit: Unit, request: DmaRequest, answer: DmaAnswer): void;
  relax?(): void;
  /** A DMA is over and hardware work or interrupts wait: what is due runs now. */
  settle?(): void;
  reset?(): void;
  poison?(start: bigint, last: bigint): void;
  heal?(): void;
  schedule?(schedule: Schedule): void;
}

/** The onlookers of a machine. */
export class Observers {
  /** For hot paths: nobody looks while this is 0. */
  count = 0;
  private list: readonly MachineObserver[] = [];

  /** Returns the function that takes the observer away again. */
  add(observer: MachineObserver): () => void {
    this.list = [...this.list, observer];
    this.count = this.list.length;
    return () => {
      this.list = this.list.filter((other) => other !== observer);
      this.count = this.list.length;
    };
  }

  tell(say: (observer: MachineObserver) => void): void {
    for (const observer of this.list) say(observer);
  }
}
