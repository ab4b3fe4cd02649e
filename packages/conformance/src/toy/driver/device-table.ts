import { hiOf, loOf, type Words } from '@iommukit/bits';
import { type DeviceDescription, type DeviceHandle, type DmaPages, ensure, type PhysicalMemory } from '@iommukit/core';
import { DEVICE_ENTRY, SLOT, SLOT_COUNT } from '../format/context.ts';
import type { CommandProducer } from './command-producer.ts';

/** log2 of the device table's entries: requester ids below 1024. */
export const TABLE_LG2 = 10;
export const TABLE_BYTES = 8 * 2 ** TABLE_LG2;

/** A device behind this driver: all its requester ids share one page of slots. */
export interface ToyDevice extends DeviceHandle {
  /** The table of its unit. */
  readonly table: DeviceTable;
  readonly slots: number;
}

/** The device table and the devices' slots. The unit may remember every word here, so each change ends in a command. */
export class DeviceTable {
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  readonly #commands: CommandProducer;
  readonly #table: number;

  constructor(memory: PhysicalMemory, pages: DmaPages, commands: CommandProducer, table: number) {
    this.#memory = memory;
    this.#pages = pages;
    this.#commands = commands;
    this.#table = table;
  }

  /** EINVAL: a requester id past the table; ENOMEM. */
  add(description: DeviceDescription, maxPasids: number): ToyDevice {
    const fits = description.requesterIds.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** TABLE_LG2);
    ensure(fits, 'EINVAL', `requester ids end at ${2 ** TABLE_LG2 - 1}`);
    const device: ToyDevice = {
      table: this,
      description,
      maxPasids: Math.min(maxPasids, SLOT_COUNT),
      slots: this.#pages.alloc(8 * SLOT_COUNT),
    };
    this.#point(device, DEVICE_ENTRY.encode({ V: true, SLOTS: BigInt(device.slots) }));
    return device;
  }

  remove(device: ToyDevice): void {
    this.#point(device, DEVICE_ENTRY.encode());
    this.#pages.free(device.slots);
  }

  /**
   * Points a slot at a context, or at none: one 64-bit write, so that the unit sees the old or the new. When the unit does
   * not follow, the slot is what it was.
   */
  setSlot(device: ToyDevice, pasid: number, context: number | null): void {
    const at = device.slots + pasid * 8;
    const before = read64(this.#memory, at);
    write64(this.#memory, at, context === null ? SLOT.encode() : SLOT.encode({ V: true, CONTEXT: BigInt(context) }));
    try {
      for (const id of device.description.requesterIds) this.#commands.invalidateSlot(id, pasid);
    } catch (error) {
      write64(this.#memory, at, before);
      throw error;
    }
  }

  #point(device: ToyDevice, entry: Words): void {
    for (const id of device.description.requesterIds) {
      write64(this.#memory, this.#table + id * 8, entry);
      this.#commands.invalidateDevice(id);
    }
  }
}

/** The two words at `pa`, in one access. */
export function write64(memory: PhysicalMemory, pa: number, words: Words, at = 0): void {
  const address = BigInt(pa);
  memory.write64(hiOf(address), loOf(address), words[at + 1]! | 0, words[at]! | 0);
}

function read64(memory: PhysicalMemory, pa: number): Words {
  const address = BigInt(pa);
  ensure(memory.read64(hiOf(address), loOf(address)), 'EIO', "a device's slots do not answer");
  return Uint32Array.of(memory.lo, memory.hi);
}
