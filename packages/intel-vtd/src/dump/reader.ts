import { toBig } from '@iommukit/bits';
import type {
  DumpMapping,
  DumpOptions,
  DumpReader,
  DumpSupport,
  HardwarePorts,
  PhysicalMemory,
  QueueEntry,
} from '@iommukit/core';
import { VtdHardware } from '../hardware/hardware.ts';
import { MODE } from '../hardware/state.ts';
import { legacyPlaces, type Place, scalablePlaces } from './directory.ts';
import { invalidationRing } from './ring.ts';
import { spaceMappings } from './spaces.ts';

/** What a frame must hold: everything up to a single fault record at its usual place. */
const FRAME_BYTES = 0x230;

class VtdDumpReader implements DumpReader {
  readonly hardware: VtdHardware;
  readonly queues: readonly string[] = ['invalidation'];
  readonly #memory: PhysicalMemory;

  constructor(memory: PhysicalMemory, frame: Uint8Array, options: DumpOptions) {
    this.#memory = memory;
    const ports: HardwarePorts = { memory, irq: {}, defer: () => {} };
    this.hardware = new VtdHardware(ports, {
      version: 0x10,
      cap: 0n,
      ecap: 0n,
      hostAddressBits: options.hostAddressBits,
    });
    this.hardware.wake(frame);
    this.hardware.unit.answerQueries();
  }

  *devices(): Generator<{ readonly device: number; readonly pasid: number | null }> {
    for (const { device, pasid } of this.#places()) yield { device, pasid };
  }

  *mappings(device: number, pasid: number | null): Generator<DumpMapping> {
    const { features, ssirwe } = this.hardware.unit.state;
    for (const place of this.#places())
      if (place.device === device && place.pasid === pasid) {
        yield* spaceMappings(this.#memory, features, place.space, ssirwe);
        return;
      }
  }

  /** Throws RangeError for a queue that is not there. */
  queue(name: string): Iterable<QueueEntry> {
    if (name !== 'invalidation') throw new RangeError(`VT-d has no queue '${name}'`);
    return invalidationRing(this.#memory, this.hardware.unit.registers);
  }

  #places(): Iterable<Place> {
    const { mode, rootHi, rootLo } = this.hardware.unit.state;
    const root = toBig(rootHi, rootLo);
    if (mode === MODE.LEGACY) return legacyPlaces(this.#memory, root);
    return mode === MODE.SCALABLE ? scalablePlaces(this.#memory, root) : [];
  }
}

export const vtdDump: DumpSupport = {
  frameBytes: FRAME_BYTES,
  pciIds: true,
  open: (memory, frame, options) => new VtdDumpReader(memory, frame, options),
};
