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
import { type Directory, LegacyDirectory, ScalableDirectory } from './directory.ts';
import { Legality } from './legality.ts';
import { invalidationRing } from './ring.ts';
import { spaceMappings } from './spaces.ts';

/** What a frame must hold: everything up to a single fault record at its usual place. */
const FRAME_BYTES = 0x230;

/**
 * Entries refused one after the other, after which a listing ends: tables that point at each other name 2^36 PASIDs that
 * hardware refuses, and no real system has as many in a row.
 */
const MAX_REFUSED = 1 << 12;

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
    this.hardware.answerQueries();
  }

  *devices(): Generator<{ readonly device: number; readonly pasid: number | null }> {
    const legality = new Legality(this.hardware.unit);
    let refused = 0;
    for (const { device, pasid } of this.#directory()?.places() ?? []) {
      if (legality.reachesTables(device, pasid)) {
        refused = 0;
        yield { device, pasid };
      } else if (++refused === MAX_REFUSED) return;
    }
  }

  mappings(device: number, pasid: number | null): Iterable<DumpMapping> {
    const { features, ssirwe } = this.hardware.unit.state;
    const place = this.#directory()?.find(device, pasid);
    const reached = place && new Legality(this.hardware.unit).reachesTables(device, pasid);
    return reached ? spaceMappings(this.#memory, features, place.space, ssirwe) : [];
  }

  /** Throws RangeError for a queue that is not there. */
  queue(name: string): Iterable<QueueEntry> {
    if (name !== 'invalidation') throw new RangeError(`VT-d has no queue '${name}'`);
    return invalidationRing(this.#memory, this.hardware.unit.registers);
  }

  #directory(): Directory | null {
    const { mode, rootHi, rootLo } = this.hardware.unit.state;
    const root = toBig(rootHi, rootLo);
    if (mode === MODE.LEGACY) return new LegacyDirectory(this.#memory, root);
    return mode === MODE.SCALABLE ? new ScalableDirectory(this.#memory, root) : null;
  }
}

export const vtdDump: DumpSupport = {
  frameBytes: FRAME_BYTES,
  pciIds: true,
  open: (memory, frame, options) => new VtdDumpReader(memory, frame, options),
};
