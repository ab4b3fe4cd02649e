import { bytesToWords } from '@iommukit/bits';
import { ACCESS_NAMES, type DriverPorts, type FaultReasonName, type FaultRecord } from '@iommukit/core';
import { CODE, CODE_NAMES, EVENT } from '../format/events.ts';
import { EVENT_BYTES, EVENT_ENTRIES, EVENT_IRQ, REGISTERS, STATUS } from '../format/registers.ts';
import type { Gate } from './gate.ts';

/** The common word for each code, as this driver reads the manual. */
const REASONS: Readonly<Record<number, FaultReasonName>> = {
  [CODE.BLOCKED]: 'blocked',
  [CODE.BAD_DEVICE]: 'bad-device',
  [CODE.BAD_PASID]: 'bad-pasid',
  [CODE.BAD_CONTEXT]: 'bad-config',
  [CODE.FETCH_ABORT]: 'fetch-abort',
  [CODE.NOT_PRESENT]: 'not-present',
  [CODE.ADDRESS_SIZE]: 'address-size',
  [CODE.PERMISSION]: 'permission',
  [CODE.BAD_ENTRY]: 'bad-entry',
  [CODE.UNSUPPORTED]: 'unsupported',
};

/** Takes records out of the event ring when the interrupt says so. */
export class EventConsumer {
  listener: ((fault: FaultRecord) => void) | null = null;
  readonly #ports: DriverPorts;
  readonly #ring: number;
  #head = 0;

  constructor(ports: DriverPorts, ring: number, gate: Gate) {
    this.#ports = ports;
    this.#ring = ring;
    gate.work = () => this.drain();
    ports.irq[EVENT_IRQ]!.handle(() => gate.interrupt());
  }

  /** At most one ring's worth a call: a unit that writes for ever gets its turn again with the next interrupt. */
  drain(): void {
    const { mmio } = this.#ports;
    const tail = mmio.read32(REGISTERS.EVT_TAIL.at) % EVENT_ENTRIES;
    while (this.#head !== tail) {
      const fault = this.#read(this.#ring + this.#head * EVENT_BYTES);
      this.#head = (this.#head + 1) % EVENT_ENTRIES;
      mmio.write32(REGISTERS.EVT_HEAD.at, this.#head);
      if (fault) this.listener?.(fault);
    }
    if ((mmio.read32(REGISTERS.STATUS.at) & STATUS.EVT_LOST) !== 0) mmio.write32(REGISTERS.STATUS.at, STATUS.EVT_LOST);
  }

  stop(): void {
    this.#ports.irq[EVENT_IRQ]!.handle(null);
  }

  #read(pa: number): FaultRecord | null {
    const raw = new Uint8Array(EVENT_BYTES);
    return this.#ports.memory.readBytes(BigInt(pa), raw) ? toFault(raw) : null;
  }
}

function toFault(raw: Uint8Array): FaultRecord {
  const event = EVENT.decode(bytesToWords(raw));
  return {
    reason: REASONS[event.CODE] ?? 'unknown',
    name: CODE_NAMES[event.CODE] ?? 'UNKNOWN',
    code: event.CODE,
    device: event.DEVICE,
    pasid: event.PASIDV ? event.PASID : null,
    iova: event.IOVA,
    access: ACCESS_NAMES[event.ACCESS] ?? null,
    raw,
  };
}
