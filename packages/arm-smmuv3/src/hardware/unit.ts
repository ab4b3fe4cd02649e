import { type Layout, toBig } from '@iommukit/bits';
import type { HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { type Features, readFeatures } from './features.ts';

/** What every part of the model looks at: memory, the register words, what they advertise, and the onlooker. */
export class UnitState {
  readonly memory: PhysicalMemory;
  /** The register frame as signed words. */
  readonly registers: Int32Array;
  features: Features;
  probe: HardwareProbe | null = null;
  /** CR0ACK.SMMUEN: translation is in force. */
  enabled = false;

  constructor(memory: PhysicalMemory, registers: Int32Array) {
    this.memory = memory;
    this.registers = registers;
    this.features = readFeatures(registers);
  }

  /** A physical address beyond OAS answers nothing. */
  outside(hi: number): boolean {
    return hi >>> (this.features.oas - 32) !== 0;
  }

  /** Reads one 64-bit structure or descriptor into `memory.lo/hi`. False on an abort. */
  read64(hi: number, lo: number): boolean {
    return !this.outside(hi) && this.memory.read64(hi, lo);
  }

  /** Reads `words.length` 32-bit words; false when any of them aborts. */
  readWords(hi: number, lo: number, words: Int32Array): boolean {
    if (this.outside(hi)) return false;
    for (let i = 0; i < words.length; i += 2) {
      if (!this.memory.read64(hi, lo + i * 4)) return false;
      words[i] = this.memory.lo;
      words[i + 1] = this.memory.hi;
    }
    return true;
  }

  /** Tells the onlooker of a structure. Call only when {@link probe} is set. */
  observe(what: string, hi: number, lo: number, layout: Layout, words: ArrayLike<number>): void {
    this.probe?.structure?.(what, toBig(hi, lo), layout, Uint32Array.from(words));
  }
}
