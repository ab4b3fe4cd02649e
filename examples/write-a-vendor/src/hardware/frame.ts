import type { RegisterFile } from '@iommukit/bits';
import { WordMmio } from '@iommukit/core';

/** The register file as the bus sees it: 32- and 64-bit accesses only. */
export class Frame extends WordMmio {
  readonly #registers: RegisterFile;

  constructor(registers: RegisterFile) {
    super();
    this.#registers = registers;
  }
  read32(offset: number): number {
    return this.#registers.read32(offset);
  }
  read64(offset: number): bigint {
    return this.#registers.read64(offset);
  }
  write32(offset: number, value: number): void {
    this.#registers.write32(offset, value);
  }
  write64(offset: number, value: bigint): void {
    this.#registers.write64(offset, value);
  }
}
