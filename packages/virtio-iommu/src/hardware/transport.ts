import type { MmioRegion } from '@iommukit/core';
import { DEVICE_ID_IOMMU, MMIO, MMIO_MAGIC, MMIO_VERSION, STATUS } from '../format/registers.ts';
import { bypassByteOf, type ConfigSpace } from './config-space.ts';
import type { FeatureState } from './features.ts';
import type { Virtqueue } from './virtqueue.ts';

/** `IKIT`, little-endian. */
const VENDOR_ID = 0x54494b49;

/** What registers do to the device behind them. */
export interface TransportHost {
  readonly status: number;
  readonly interruptStatus: number;
  writeStatus(value: number): void;
  acknowledge(bits: number): void;
  notify(queue: number): void;
  writeBypass(value: number): void;
  /** The driver broke a rule that leaves nothing to answer. */
  fail(): void;
}

type Half = 'descLo' | 'descHi' | 'availLo' | 'availHi' | 'usedLo' | 'usedHi';

/**
 * The register frame of virtio-mmio version 2: registers take aligned 32-bit accesses, configuration space aligned
 * 8-, 16- and 32-bit ones. Anything else reads 0 and writes nothing. Virtio 1.3 §4.2.2.
 */
export class Transport implements MmioRegion {
  private readonly features: FeatureState;
  private readonly config: ConfigSpace;
  private readonly queues: readonly Virtqueue[];
  private readonly host: TransportHost;
  private readonly readers = new Map<number, () => number>();
  private readonly writers = new Map<number, (value: number) => void>();
  private deviceFeaturesSel = 0;
  private driverFeaturesSel = 0;
  private queueSel = 0;

  constructor(features: FeatureState, config: ConfigSpace, queues: readonly Virtqueue[], host: TransportHost) {
    this.features = features;
    this.config = config;
    this.queues = queues;
    this.host = host;
    this.declareIdentity();
    this.declareFeatures();
    this.declareQueues();
    this.declareStatus();
  }

  reset(): void {
    this.deviceFeaturesSel = this.driverFeaturesSel = this.queueSel = 0;
  }

  read8(offset: number): number {
    return this.config.read(offset - MMIO.CONFIG, 1);
  }

  read16(offset: number): number {
    return this.config.read(offset - MMIO.CONFIG, 2);
  }

  read32(offset: number): number {
    if (offset >= MMIO.CONFIG) return this.config.read(offset - MMIO.CONFIG, 4);
    return (this.readers.get(offset)?.() ?? 0) >>> 0;
  }

  read64(_offset: number): bigint {
    return 0n;
  }

  write8(offset: number, value: number): void {
    this.writeConfig(offset, 1, value);
  }

  write16(offset: number, value: number): void {
    this.writeConfig(offset, 2, value);
  }

  write32(offset: number, value: number): void {
    if (offset >= MMIO.CONFIG) this.writeConfig(offset, 4, value);
    else this.writers.get(offset)?.(value >>> 0);
  }

  write64(_offset: number, _value: bigint): void {}

  private writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    const bypass = bypassByteOf(offset - MMIO.CONFIG, size, value);
    if (bypass !== -1) this.host.writeBypass(bypass);
  }

  private declareIdentity(): void {
    this.readers.set(MMIO.MAGIC, () => MMIO_MAGIC);
    this.readers.set(MMIO.VERSION, () => MMIO_VERSION);
    this.readers.set(MMIO.DEVICE_ID, () => DEVICE_ID_IOMMU);
    this.readers.set(MMIO.VENDOR_ID, () => VENDOR_ID);
  }

  /** Features come in 32-bit words, picked by a selector; words past the second are empty. */
  private declareFeatures(): void {
    this.writers.set(MMIO.DEVICE_FEATURES_SEL, (value) => (this.deviceFeaturesSel = value));
    this.writers.set(MMIO.DRIVER_FEATURES_SEL, (value) => (this.driverFeaturesSel = value));
    this.readers.set(MMIO.DEVICE_FEATURES, () => {
      if (this.deviceFeaturesSel > 1) return 0;
      return Number(BigInt.asUintN(32, this.features.offered >> BigInt(32 * this.deviceFeaturesSel)));
    });
    this.writers.set(MMIO.DRIVER_FEATURES, (value) => this.acceptFeatures(value));
  }

  /** Bits of words that do not exist were never offered; taking one spoils FEATURES_OK. */
  private acceptFeatures(value: number): void {
    if ((this.host.status & STATUS.FEATURES_OK) !== 0) return;
    const shift = BigInt(32 * Math.min(this.driverFeaturesSel, 2));
    const kept = this.features.accepted & ~(0xffff_ffffn << shift);
    this.features.accepted = kept | (BigInt(value) << shift);
  }

  private declareQueues(): void {
    this.writers.set(MMIO.QUEUE_SEL, (value) => (this.queueSel = value));
    this.readers.set(MMIO.QUEUE_SIZE_MAX, () => this.selected?.sizeMax ?? 0);
    this.readers.set(MMIO.QUEUE_READY, () => Number(this.selected?.ready ?? false));
    this.writers.set(MMIO.QUEUE_SIZE, (value) => this.configure((queue) => (queue.size = value & 0xffff)));
    this.writers.set(MMIO.QUEUE_READY, (value) => this.setReady(value));
    this.writers.set(MMIO.QUEUE_NOTIFY, (value) => this.host.notify(value));
    this.declareAddress(MMIO.QUEUE_DESC_LOW, 'descLo');
    this.declareAddress(MMIO.QUEUE_DESC_HIGH, 'descHi');
    this.declareAddress(MMIO.QUEUE_DRIVER_LOW, 'availLo');
    this.declareAddress(MMIO.QUEUE_DRIVER_HIGH, 'availHi');
    this.declareAddress(MMIO.QUEUE_DEVICE_LOW, 'usedLo');
    this.declareAddress(MMIO.QUEUE_DEVICE_HIGH, 'usedHi');
  }

  private declareAddress(offset: number, half: Half): void {
    this.writers.set(offset, (value) => this.configure((queue) => (queue[half] = value | 0)));
  }

  private declareStatus(): void {
    this.readers.set(MMIO.STATUS, () => this.host.status);
    this.writers.set(MMIO.STATUS, (value) => this.host.writeStatus(value & 0xff));
    this.readers.set(MMIO.INTERRUPT_STATUS, () => this.host.interruptStatus);
    this.writers.set(MMIO.INTERRUPT_ACK, (value) => this.host.acknowledge(value));
  }

  private get selected(): Virtqueue | undefined {
    return this.queues[this.queueSel];
  }

  /** A queue in use keeps its place: writes are ignored until it is disabled. */
  private configure(change: (queue: Virtqueue) => void): void {
    const queue = this.selected;
    if (queue !== undefined && !queue.ready) change(queue);
  }

  private setReady(value: number): void {
    const queue = this.selected;
    if (queue === undefined) return;
    if ((value & 1) === 0) queue.disable();
    else if (!queue.ready && !queue.enable()) this.host.fail();
  }
}
