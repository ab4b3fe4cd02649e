import type { HardwareModel } from '../ports/hardware.ts';
import type { PhysicalMemory } from '../ports/memory.ts';

export interface DumpOptions {
  /** Host address width in bits, where no register tells. */
  readonly hostAddressBits: number;
}

/** A leaf (or a run of equal leaves) of a device's address space. */
export interface DumpMapping {
  readonly iova: bigint;
  readonly pa: bigint;
  readonly size: bigint;
  readonly pageSize: bigint;
  /** PERMISSION bits of an unprivileged data access. */
  readonly permissions: number;
}

export interface QueueEntry {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly consumed: boolean;
}

/** A memory dump and a register frame of one unit, read by its hardware half alone. Writes nothing to the dump. */
export interface DumpReader {
  /** Awake on the dump; its translate() answers queries. */
  readonly hardware: HardwareModel;
  /** Every device (and PASID; null = requests without one) that the tables configure to translate, ascending. */
  devices(): Iterable<{ readonly device: number; readonly pasid: number | null }>;
  /** Everything mapped, by iova. Leaves as they stand; the caller joins runs. Unreadable tables are skipped. */
  mappings(device: number, pasid: number | null): Iterable<DumpMapping>;
  readonly queues: readonly string[];
  /** The whole ring, oldest first. Throws RangeError for an unknown name. */
  queue(name: string): Iterable<QueueEntry>;
}

export interface DumpSupport {
  /** The least a register frame must hold, in bytes. */
  readonly frameBytes: number;
  /** Device ids are PCI requester ids, so `BB:DD.F` may be written for them. */
  readonly pciIds: boolean;
  open(memory: PhysicalMemory, frame: Uint8Array, options: DumpOptions): DumpReader;
}
