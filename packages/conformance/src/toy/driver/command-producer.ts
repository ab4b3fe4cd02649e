import { hiOf, loOf, type Words } from '@iommukit/bits';
import { type DriverPorts, IommuError } from '@iommukit/core';
import { CONTEXT_COMMAND, OP, TRANSLATION_COMMAND } from '../format/commands.ts';
import { COMMAND_BYTES, COMMAND_ENTRIES, REGISTERS, STATUS } from '../format/registers.ts';

/** Turns of the polling loop before a unit counts as dead. */
const PATIENCE = 100_000;
const COUNT_LIMIT = 2 ** 16;

/** Writes commands and waits until the unit has carried them out. */
export class CommandProducer {
  readonly #ports: DriverPorts;
  readonly #ring: bigint;
  #tail = 0;

  constructor(ports: DriverPorts, ring: number) {
    this.#ports = ports;
    this.#ring = BigInt(ring);
  }

  invalidateDevice(device: number): void {
    this.submit(CONTEXT_COMMAND.encode({ OP: OP.INV_DEVICE, DEVICE: device }));
  }

  invalidateSlot(device: number, pasid: number): void {
    this.submit(CONTEXT_COMMAND.encode({ OP: OP.INV_SLOT, DEVICE: device, PASID: pasid }));
  }

  invalidateTag(tag: number): void {
    this.submit(TRANSLATION_COMMAND.encode({ OP: OP.INV_TAG, TAG: tag }));
  }

  /** `[start, last]`; a range longer than one command can name takes the whole tag. */
  invalidateRange(tag: number, start: bigint, last: bigint): void {
    const count = Number((last - start) >> 12n) + 1;
    if (count > COUNT_LIMIT) this.invalidateTag(tag);
    else this.submit(TRANSLATION_COMMAND.encode({ OP: OP.INV_RANGE, TAG: tag, COUNT: count - 1, ADDR: pageOf(start) }));
  }

  invalidateGuest(tag: number, gtag: number): void {
    this.submit(TRANSLATION_COMMAND.encode({ OP: OP.INV_GUEST, TAG: tag, GTAG: gtag }));
  }

  /** `count` (1 … 65536) guest pages from `start`. */
  invalidateGuestRange(tag: number, gtag: number, start: bigint, count: number): void {
    const fields = { OP: OP.INV_GUEST_RANGE, TAG: tag, GTAG: gtag, COUNT: count - 1, ADDR: pageOf(start) };
    this.submit(TRANSLATION_COMMAND.encode(fields));
  }

  /** Puts one command into the ring and waits for it. ETIMEDOUT: no answer; EIO: the unit calls it illegal. */
  submit(command: Words): void {
    this.write(command);
    this.wait();
  }

  write(command: Words): void {
    const { memory, mmio } = this.#ports;
    const at = this.#ring + BigInt(this.#tail * COMMAND_BYTES);
    for (let i = 0n; i < 4n; i++) memory.write32(hiOf(at + i * 4n), loOf(at + i * 4n), command[Number(i)]! | 0);
    this.#tail = (this.#tail + 1) % COMMAND_ENTRIES;
    mmio.write32(REGISTERS.CMD_TAIL.at, this.#tail);
  }

  wait(): void {
    const { mmio } = this.#ports;
    for (let turn = 0; turn < PATIENCE; turn++) {
      if (mmio.read32(REGISTERS.CMD_HEAD.at) === this.#tail) return;
      if ((mmio.read32(REGISTERS.STATUS.at) & STATUS.CMD_ERROR) !== 0)
        throw new IommuError('EIO', 'the unit refused a command');
    }
    throw new IommuError('ETIMEDOUT', 'the command ring does not move');
  }
}

const pageOf = (address: bigint): bigint => address & ~0xfffn;
