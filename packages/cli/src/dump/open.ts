import type { DumpReader, DumpSupport, VendorPlugin } from '@iommukit/core';
import { openMemory } from '../input/memory.ts';
import { readFrame } from '../input/registers.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import { loadVendor } from '../vendors.ts';

/** The options that name a dump, as commander delivers them. */
export interface DumpOptions {
  readonly vendor: string;
  readonly plugin: readonly string[];
  readonly memory: readonly string[];
  readonly registers: string;
  readonly hostAddressWidth: number;
}

/** A dump that is open, with the vendor who reads it. */
export interface OpenDump {
  readonly plugin: VendorPlugin;
  readonly support: DumpSupport;
  readonly reader: DumpReader;
  readonly frame: Uint8Array;
}

export async function openDump(options: DumpOptions): Promise<OpenDump> {
  const plugin = await loadVendor(options.vendor, options.plugin);
  const support = plugin.dump;
  if (!support)
    throw new UsageError(
      `option '--vendor': ${plugin.id} keeps no state in memory that a dump could show; see 'replay'`,
    );
  const frame = readFrame(options.registers, support.frameBytes);
  const memory = openMemory(options.memory);
  try {
    const reader = support.open(memory, frame, { hostAddressBits: options.hostAddressWidth });
    return { plugin, support, reader, frame };
  } catch (error) {
    throw new UsageError(`option '--registers' ${options.registers}: ${reasonOf(error)}`);
  }
}
