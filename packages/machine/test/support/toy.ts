import {
  ACCESS,
  type DmaAnswer,
  type DmaRequest,
  type DriverPorts,
  FAULT_REASON,
  type HardwareModel,
  type HardwarePorts,
  type IommuDriver,
  OUTCOME,
  type VendorConfig,
  type VendorPlugin,
  WordMmio,
} from '@iommukit/core';

/** Registers of the toy unit. */
export const REG = {
  /** Physical address of one table of 512 entries `pa | valid | writable << 1`; 64 bits. */
  BASE: 0x00,
  /** A write asks for work; each run of it copies this value to DONE and raises `event`. */
  DOORBELL: 0x08,
  DONE: 0x0c,
  MSI_ADDRESS: 0x10,
  MSI_DATA: 0x18,
  /** A write stores MSI_DATA at MSI_ADDRESS, at once. */
  SEND: 0x1c,
  /** While not zero, work asks for itself again. */
  ENDLESS: 0x20,
  FAULTS: 0x24,
  /** Byte-wide, for the narrow accesses. */
  NARROW: 0x28,
  /** Where faults are written, as 64-bit addresses; 0 = nowhere. */
  LOG: 0x30,
} as const;

class ToyMmio extends WordMmio {
  readonly words = new Int32Array(16);
  onWrite: (offset: number) => void = () => {};

  read32(offset: number): number {
    return (this.words[offset >> 2] ?? 0) >>> 0;
  }
  read64(offset: number): bigint {
    return BigInt(this.read32(offset)) | (BigInt(this.read32(offset + 4)) << 32n);
  }
  write32(offset: number, value: number): void {
    this.words[offset >> 2] = value;
    this.onWrite(offset);
  }
  write64(offset: number, value: bigint): void {
    this.words[offset >> 2] = Number(BigInt.asIntN(32, value));
    this.words[(offset >> 2) + 1] = Number(BigInt.asIntN(32, value >> 32n));
    this.onWrite(offset);
  }
  override read8(offset: number): number {
    return (this.read32(offset & ~3) >>> ((offset & 3) * 8)) & 0xff;
  }
  override write8(offset: number, value: number): void {
    if (offset === REG.NARROW) this.words[offset >> 2] = value & 0xff;
  }
}

export class ToyHardware implements HardwareModel {
  readonly mmio = new ToyMmio();
  readonly mmioBytes = 0x40;
  readonly probe = null;
  /** Test fault injection: answers with the wrong page. */
  readonly crooked: boolean;
  runs = 0;
  readonly #ports: HardwarePorts;
  readonly #work = () => {
    const { words } = this.mmio;
    this.runs++;
    words[REG.DONE >> 2] = words[REG.DOORBELL >> 2]!;
    this.#ports.irq.event?.pulse();
    if (words[REG.ENDLESS >> 2] !== 0) this.#ports.defer(this.#work);
  };

  constructor(ports: HardwarePorts, crooked = false) {
    this.#ports = ports;
    this.crooked = crooked;
    this.mmio.onWrite = (offset) => {
      if (offset === REG.DOORBELL) ports.defer(this.#work);
      if (offset === REG.SEND) this.#send();
    };
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    const { words } = this.mmio;
    const { memory } = this.#ports;
    const entry = (words[0]! + ((request.iovaLo >>> 12) & 511) * 8) | 0;
    const found = request.iovaHi === 0 && memory.read64(words[1]!, entry) && (memory.lo & 1) !== 0;
    if (!found) this.#fault(request, answer, FAULT_REASON.NOT_PRESENT, 1);
    else if (request.access === ACCESS.WRITE && (memory.lo & 2) === 0)
      this.#fault(request, answer, FAULT_REASON.PERMISSION, 2);
    else this.#hit(request, answer);
  }

  #hit(request: DmaRequest, answer: DmaAnswer): void {
    const { memory } = this.#ports;
    answer.outcome = OUTCOME.TRANSLATED;
    answer.paHi = memory.hi;
    answer.paLo = (memory.lo & ~0xfff) | (request.iovaLo & 0xfff);
    if (this.crooked) answer.paLo ^= 0x1000;
    answer.pageSizeLg2 = 12;
    answer.permissions = memory.lo & 3;
  }

  reset(): void {
    this.mmio.words.fill(0);
  }
  wake(): void {}
  dropCaches(): void {}

  #fault(request: DmaRequest, answer: DmaAnswer, reason: DmaAnswer['reason'], code: number): void {
    const { words } = this.mmio;
    answer.outcome = OUTCOME.FAULT;
    answer.reason = reason;
    answer.code = code;
    answer.record[0] = request.iovaLo;
    answer.recordWords = 1;
    words[REG.FAULTS >> 2]!++;
    const log = words[REG.LOG >> 2]!;
    if (log !== 0) this.#ports.memory.write32(words[(REG.LOG >> 2) + 1]!, log, request.iovaLo);
    this.#ports.defer(this.#work);
  }

  #send(): void {
    const { words } = this.mmio;
    const [lo, hi] = [words[REG.MSI_ADDRESS >> 2]!, words[(REG.MSI_ADDRESS >> 2) + 1]!];
    this.#ports.memory.write32(hi, lo, words[REG.MSI_DATA >> 2]!);
  }
}

export interface ToyDriver extends IommuDriver {
  readonly ports: DriverPorts;
}

const config: VendorConfig = {
  name: 'only',
  title: 'the only one',
  hardware: null,
  properties: { flavour: 'toy' },
  interrupts: ['event', 'error'],
  declared: [],
};

/** A vendor just good enough to see the board work; its "driver" hands its ports out. */
export function toy(options: { id?: string; crooked?: boolean; driver?: boolean } = {}): VendorPlugin {
  return {
    id: options.id ?? 'toy',
    title: 'Toy',
    configs: [config],
    createHardware: (ports) => new ToyHardware(ports, options.crooked),
    createDriver(ports) {
      if (options.driver === false) throw new Error('no driver wanted');
      return { ports } as unknown as ToyDriver;
    },
    decoder: { kinds: [], sizes: () => [], decode: () => null as never },
    faultName: (code) => ['ABORT', 'TOY_MISSING', 'TOY_REFUSED'][code] ?? 'ABORT',
  };
}
