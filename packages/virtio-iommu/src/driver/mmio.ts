import { type Clock, ensure, type MmioRegion } from '@iommukit/core';
import { CONFIG } from '../format/config-space.ts';
import { DEVICE_ID_IOMMU, MMIO, MMIO_MAGIC, MMIO_VERSION, STATUS } from '../format/registers.ts';

/** Reads of Status after which a reset that does not finish is given up. */
const RESET_POLLS = 10_000;

/** Where a queue lies. Exact integers. */
export interface QueueAreas {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

/** The driver's side of the virtio-mmio registers, in the order a driver must use them. Virtio 1.3 §3.1.1, §4.2.3. */
export class VirtioMmio {
  readonly #mmio: MmioRegion;
  readonly #time: Clock;

  constructor(mmio: MmioRegion, time: Clock) {
    this.#mmio = mmio;
    this.#time = time;
  }

  /** Makes sure an IOMMU device answers (else ENODEV), and resets it (ETIMEDOUT). */
  begin(): void {
    const found = (offset: number) => this.#mmio.read32(offset);
    ensure(found(MMIO.MAGIC) === MMIO_MAGIC && found(MMIO.VERSION) === MMIO_VERSION, 'ENODEV', 'no virtio-mmio device');
    ensure(found(MMIO.DEVICE_ID) === DEVICE_ID_IOMMU, 'ENODEV', `device type ${found(MMIO.DEVICE_ID)} is no IOMMU`);
    this.reset();
    this.addStatus(STATUS.ACKNOWLEDGE);
    this.addStatus(STATUS.DRIVER);
  }

  reset(): void {
    this.#mmio.write32(MMIO.STATUS, 0);
    for (let n = 0; this.status !== 0; n++) {
      ensure(n < RESET_POLLS, 'ETIMEDOUT', 'the device does not finish its reset');
      this.#time.relax();
    }
  }

  get status(): number {
    return this.#mmio.read32(MMIO.STATUS);
  }

  addStatus(bit: number): void {
    this.#mmio.write32(MMIO.STATUS, this.status | bit);
  }

  offeredFeatures(): bigint {
    return this.#featureWord(0) | (this.#featureWord(1) << 32n);
  }

  /** Accepts features; ENODEV when the device does not agree. */
  acceptFeatures(bits: bigint): void {
    for (const word of [0, 1]) {
      this.#mmio.write32(MMIO.DRIVER_FEATURES_SEL, word);
      this.#mmio.write32(MMIO.DRIVER_FEATURES, Number(BigInt.asUintN(32, bits >> BigInt(32 * word))));
    }
    this.addStatus(STATUS.FEATURES_OK);
    ensure((this.status & STATUS.FEATURES_OK) !== 0, 'ENODEV', 'the device refuses the features it offered');
  }

  /** Largest size of a queue; 0 where there is none. */
  queueSizeMax(index: number): number {
    this.#mmio.write32(MMIO.QUEUE_SEL, index);
    return this.#mmio.read32(MMIO.QUEUE_SIZE_MAX);
  }

  /** Puts a queue into service. ENODEV when the device does not take it. */
  startQueue(index: number, { size, desc, avail, used }: QueueAreas): void {
    this.#mmio.write32(MMIO.QUEUE_SEL, index);
    this.#mmio.write32(MMIO.QUEUE_SIZE, size);
    this.#address(MMIO.QUEUE_DESC_LOW, MMIO.QUEUE_DESC_HIGH, desc);
    this.#address(MMIO.QUEUE_DRIVER_LOW, MMIO.QUEUE_DRIVER_HIGH, avail);
    this.#address(MMIO.QUEUE_DEVICE_LOW, MMIO.QUEUE_DEVICE_HIGH, used);
    this.#mmio.write32(MMIO.QUEUE_READY, 1);
    ensure(this.#mmio.read32(MMIO.QUEUE_READY) === 1, 'ENODEV', `the device does not take queue ${index}`);
  }

  notify(index: number): void {
    this.#mmio.write32(MMIO.QUEUE_NOTIFY, index);
  }

  /** Reads the pending interrupt bits and clears them. */
  takeInterrupts(): number {
    const bits = this.#mmio.read32(MMIO.INTERRUPT_STATUS);
    if (bits !== 0) this.#mmio.write32(MMIO.INTERRUPT_ACK, bits);
    return bits;
  }

  config32(offset: number): number {
    return this.#mmio.read32(MMIO.CONFIG + offset);
  }

  /** A 64-bit field, as two halves; read again when the device changed its configuration meanwhile. */
  config64(offset: number): bigint {
    for (let n = 0; ; n++) {
      const before = this.#mmio.read32(MMIO.CONFIG_GENERATION);
      const value = BigInt(this.config32(offset)) | (BigInt(this.config32(offset + 4)) << 32n);
      if (this.#mmio.read32(MMIO.CONFIG_GENERATION) === before || n === RESET_POLLS) return value;
    }
  }

  /** Only bit 0 counts. */
  get bypass(): number {
    return this.#mmio.read8(MMIO.CONFIG + CONFIG.BYPASS) & 1;
  }

  set bypass(value: number) {
    this.#mmio.write8(MMIO.CONFIG + CONFIG.BYPASS, value);
  }

  #featureWord(word: number): bigint {
    this.#mmio.write32(MMIO.DEVICE_FEATURES_SEL, word);
    return BigInt(this.#mmio.read32(MMIO.DEVICE_FEATURES));
  }

  #address(low: number, high: number, pa: number): void {
    this.#mmio.write32(low, pa >>> 0);
    this.#mmio.write32(high, Math.floor(pa / 2 ** 32));
  }
}
