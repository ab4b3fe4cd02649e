import { wordsToBytes } from '@iommukit/bits';
import type { DmaAnswer, DmaRequest, HardwareModel, HardwarePorts, HardwareProbe, MmioRegion } from '@iommukit/core';
import { CONFIG } from '../format/config-space.ts';
import { INTERRUPT, MMIO, MMIO_FRAME_BYTES, QUEUE, STATUS } from '../format/registers.ts';
import { AccessDecision } from './access.ts';
import { Chain } from './chain.ts';
import { ConfigSpace } from './config-space.ts';
import { DomainTable } from './domains.ts';
import { type EventHost, EventProducer } from './event-producer.ts';
import { FeatureState } from './features.ts';
import { MappingRequests } from './mapping-requests.ts';
import { Requests } from './requests.ts';
import type { VirtioIommuHardware } from './settings.ts';
import { Transport, type TransportHost } from './transport.ts';
import { BROKEN, EMPTY, Virtqueue } from './virtqueue.ts';

/** Name of the unit's one wired interrupt. */
export const INTERRUPT_NAME = 'virtio';

const DRIVER_BITS = STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FAILED;

/**
 * The device half: registers and queues in front, domains and mappings behind. What a guest may do wrong ends in a
 * request's status, in a used length of 0, or in DEVICE_NEEDS_RESET; never in an exception.
 */
export class VirtioIommuDevice implements HardwareModel, TransportHost, EventHost {
  readonly mmio: MmioRegion;
  readonly mmioBytes = MMIO_FRAME_BYTES;
  status = 0;
  interruptStatus = 0;
  probe: HardwareProbe | null = null;
  /** For tests and replay: who is attached to what. */
  readonly table: DomainTable;
  private readonly ports: HardwarePorts;
  private readonly transport: Transport;
  private readonly features: FeatureState;
  private readonly config: ConfigSpace;
  private readonly queues: readonly Virtqueue[];
  private readonly requests: Requests;
  private readonly access: AccessDecision;
  private readonly chain: Chain;
  private readonly drain = () => this.drainRequests();

  constructor(ports: HardwarePorts, settings: VirtioIommuHardware) {
    const { memory } = ports;
    const { queueSizeMax } = settings;
    this.ports = ports;
    this.features = new FeatureState(settings.features);
    this.config = new ConfigSpace(settings);
    this.table = new DomainTable(settings);
    this.queues = [new Virtqueue(memory, queueSizeMax), new Virtqueue(memory, queueSizeMax)];
    this.chain = new Chain(memory, queueSizeMax);
    const mappings = new MappingRequests(settings, this.table, this.features);
    this.requests = new Requests(settings, this.table, mappings, this.features);
    const events = new EventProducer(this.queues[QUEUE.EVENT]!, new Chain(memory, queueSizeMax), this);
    this.access = new AccessDecision(this.table, events);
    this.transport = new Transport(this.features, this.config, this.queues, this);
    this.mmio = this.transport;
    this.reset();
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    this.access.translate(request, answer);
  }

  /** A system reset: as {@link resetDevice}, and `bypass` takes its initial value. */
  reset(): void {
    this.config.reset();
    this.resetDevice();
  }

  /** Restores what the frame shows: status, pending interrupts and `bypass`. Attachments live in no memory. */
  wake(frame: Uint8Array): void {
    this.reset();
    const byte = (offset: number) => frame[offset] ?? 0;
    this.status = byte(MMIO.STATUS);
    this.interruptStatus = byte(MMIO.INTERRUPT_STATUS);
    if (this.features.bypassConfigOffered) this.config.bypass = byte(MMIO.CONFIG + CONFIG.BYPASS) & 1;
    this.routeUnattached();
  }

  dropCaches(): void {
    this.table.cache.drop();
  }

  get running(): boolean {
    return (this.status & (STATUS.DRIVER_OK | STATUS.DEVICE_NEEDS_RESET)) === STATUS.DRIVER_OK;
  }

  writeStatus(value: number): void {
    if (value === 0) {
      this.resetDevice();
      return;
    }
    this.status |= value & DRIVER_BITS;
    if ((value & STATUS.FEATURES_OK) !== 0) this.settleFeatures();
    if ((value & STATUS.DRIVER_OK) !== 0 && (this.status & STATUS.FEATURES_OK) !== 0) this.status |= STATUS.DRIVER_OK;
  }

  acknowledge(bits: number): void {
    this.interruptStatus &= ~bits;
  }

  notify(queue: number): void {
    if (queue === QUEUE.REQUEST && this.running) this.ports.defer(this.drain);
  }

  /** Another value than the present one needs BYPASS_CONFIG negotiated, and is 0 or 1. */
  writeBypass(value: number): void {
    if (!this.features.bypassConfigOffered || value === this.config.bypass) return;
    if (value > 1 || !this.features.bypassConfig) {
      this.fail();
      return;
    }
    this.config.bypass = value;
    this.routeUnattached();
  }

  used(): void {
    this.interruptStatus |= INTERRUPT.USED_BUFFER;
    this.ports.irq[INTERRUPT_NAME]?.pulse();
  }

  /** DEVICE_NEEDS_RESET: no queue is touched until the driver resets the device. Virtio 1.3 §2.1.2. */
  fail(): void {
    if ((this.status & STATUS.DEVICE_NEEDS_RESET) !== 0) return;
    this.status |= STATUS.DEVICE_NEEDS_RESET;
    if ((this.status & STATUS.DRIVER_OK) === 0) return;
    this.interruptStatus |= INTERRUPT.CONFIG_CHANGE;
    this.ports.irq[INTERRUPT_NAME]?.pulse();
  }

  observed(words: Int32Array): void {
    this.probe?.record?.('event', wordsToBytes(words));
  }

  /** Detaches every endpoint, disables the queues, forgets the negotiation; `bypass` stays. Virtio 1.3 §2.4, §5.13.5. */
  private resetDevice(): void {
    this.status = 0;
    this.interruptStatus = 0;
    this.features.reset();
    this.transport.reset();
    for (const queue of this.queues) queue.reset();
    this.table.clear();
    this.routeUnattached();
  }

  private settleFeatures(): void {
    if ((this.status & STATUS.FEATURES_OK) !== 0 || !this.features.settle()) return;
    this.status |= STATUS.FEATURES_OK;
    for (const queue of this.queues) {
      queue.indirect = this.features.indirect;
      queue.eventIdx = this.features.eventIdx;
    }
    this.routeUnattached();
  }

  /** BYPASS_CONFIG counts once offered, the legacy BYPASS only when negotiated. Virtio 1.3 §5.13.6.2. */
  private routeUnattached(): void {
    const byConfig = this.features.bypassConfigOffered && this.config.bypass === 1;
    this.access.unattachedBypass = byConfig || this.features.bypass;
  }

  /** At most one ring's worth: the driver cannot add to it meanwhile. */
  private drainRequests(): void {
    const queue = this.queues[QUEUE.REQUEST]!;
    if (!this.running || !queue.ready) return;
    for (let n = 0; n < queue.size; n++) {
      const head = queue.pop(this.chain);
      if (head === EMPTY) break;
      if (head === BROKEN || !this.complete(queue, head)) {
        this.fail();
        return;
      }
      if (!this.running || !queue.ready) return;
    }
    const wanted = queue.finish();
    if (wanted === BROKEN) this.fail();
    else if (wanted === 1) this.used();
  }

  private complete(queue: Virtqueue, head: number): boolean {
    const length = this.requests.handle(this.chain);
    if (length < 0) return false;
    if (this.probe?.command) this.probe.command('request', this.requestBytes());
    return queue.push(head, length);
  }

  private requestBytes(): Uint8Array {
    return wordsToBytes(this.requests.request).subarray(0, this.requests.length);
  }
}
