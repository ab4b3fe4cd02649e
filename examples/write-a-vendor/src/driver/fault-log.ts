import { bytesToWords } from '@iommukit/bits';
import { ACCESS_NAMES, type DriverPorts, type FaultReasonName, type FaultRecord } from '@iommukit/core';
import { RECORD_INDEX, REGISTERS, STATUS_LOST } from '../format/registers.ts';
import { CODE, CODE_NAMES, RECORD } from '../format/structures.ts';

const REASONS: Readonly<Record<number, FaultReasonName>> = {
  [CODE.NO_DEVICE]: 'bad-device',
  [CODE.BLOCKED]: 'blocked',
  [CODE.BAD_ENTRY]: 'bad-config',
  [CODE.FETCH]: 'fetch-abort',
  [CODE.ADDRESS]: 'address-size',
  [CODE.NOT_PRESENT]: 'not-present',
  [CODE.BAD_PTE]: 'bad-entry',
  [CODE.PERMISSION]: 'permission',
  [CODE.PASID]: 'bad-pasid',
  [CODE.ATS]: 'unsupported',
};

/** Reads records as they arrive and hands them on when no operation is under way. */
export class FaultLog {
  listener: ((fault: FaultRecord) => void) | null = null;
  readonly #ports: DriverPorts;
  readonly #arrived: FaultRecord[] = [];
  #base = 0;
  #head = 0;
  #operations = 0;

  constructor(ports: DriverPorts) {
    this.#ports = ports;
  }

  start(base: number): void {
    const { mmio, irq } = this.#ports;
    this.#base = base;
    this.#head = 0;
    mmio.write64(REGISTERS.FLBASE.at, BigInt(base));
    mmio.write32(REGISTERS.FLHEAD.at, 0);
    irq.fault?.handle(() => this.#drain());
  }

  stop(): void {
    this.#ports.irq.fault?.handle(null);
  }

  /** An interrupt comes in the middle of a polling loop; a listener that maps or unmaps must not. */
  during(operation: () => void): void {
    this.#operations++;
    try {
      operation();
    } finally {
      this.#operations--;
      this.#deliver();
    }
  }

  #drain(): void {
    const { mmio } = this.#ports;
    const tail = mmio.read32(REGISTERS.FLTAIL.at) & RECORD_INDEX;
    while (this.#head !== tail) {
      this.#arrived.push(this.#read(this.#head));
      this.#head = (this.#head + 1) & RECORD_INDEX;
    }
    mmio.write32(REGISTERS.FLHEAD.at, this.#head);
    mmio.write32(REGISTERS.STATUS.at, STATUS_LOST);
    this.#deliver();
  }

  #read(index: number): FaultRecord {
    const raw = new Uint8Array(RECORD.bytes);
    this.#ports.memory.readBytes(BigInt(this.#base + index * RECORD.bytes), raw);
    const { CODE: code, ACCESS: access, DEVICE: device, IOVA: iova } = RECORD.decode(bytesToWords(raw));
    return {
      reason: REASONS[code] ?? 'unknown',
      name: CODE_NAMES[code] ?? 'UNKNOWN',
      code,
      device,
      pasid: null,
      iova,
      access: ACCESS_NAMES[access] ?? null,
      raw,
    };
  }

  #deliver(): void {
    if (this.#operations > 0) return;
    for (let fault = this.#arrived.shift(); fault !== undefined; fault = this.#arrived.shift()) this.listener?.(fault);
  }
}
