import { toBig } from '@iommukit/bits';
import type { HardwareModel, MmioRegion } from '@iommukit/core';
import type { BusDevice } from '../memory/sparse-source.ts';

/**
 * A unit's register frame as the bus sees it: for DMA of devices and for the memory accesses of units. No tick passes,
 * the access that caused it has one. An access that comes back to the same frame while one is under way aborts, so
 * that registers which point at themselves cannot recurse.
 */
export class BusFrame implements BusDevice {
  readonly #hardware: HardwareModel;
  #busy = false;

  constructor(hardware: HardwareModel) {
    this.#hardware = hardware;
  }

  read32(offset: number): number | null {
    let value: number | null = null;
    this.#guarded((mmio) => {
      value = mmio.read32(offset) >>> 0;
    });
    return value;
  }

  write32(offset: number, value: number): boolean {
    return this.#guarded((mmio) => mmio.write32(offset, value));
  }

  write64(offset: number, hi: number, lo: number): boolean {
    return this.#guarded((mmio) => mmio.write64(offset, toBig(hi, lo)));
  }

  /** False, and no access, while another is under way. */
  #guarded(access: (mmio: MmioRegion) => void): boolean {
    if (this.#busy) return false;
    this.#busy = true;
    try {
      access(this.#hardware.mmio);
    } finally {
      this.#busy = false;
    }
    return true;
  }
}
