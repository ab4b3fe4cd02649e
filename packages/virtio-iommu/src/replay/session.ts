import type {
  DmaAnswer,
  DmaRequest,
  HardwareModel,
  HardwareProbe,
  MmioRegion,
  RecordedRequest,
  ReplayedRequest,
  ReplaySession,
} from '@iommukit/core';
import { PROBE_SIZE_LIMIT } from '../config.ts';
import { EventConsumer } from '../driver/event-consumer.ts';
import { VirtioMmio } from '../driver/mmio.ts';
import { SplitQueue } from '../driver/split-queue.ts';
import { FEATURES } from '../format/features.ts';
import { RESV_MEM_BYTES } from '../format/properties.ts';
import { QUEUE, STATUS } from '../format/registers.ts';
import { REQUEST, statusName, TAIL_BYTES } from '../format/requests.ts';
import { DESCRIPTOR_FLAG } from '../format/ring.ts';
import { VirtioIommuDevice } from '../hardware/device.ts';
import type { VirtioIommuHardware } from '../hardware/settings.ts';
import { borderOf } from './buffer.ts';
import { ReplayMemory } from './memory.ts';
import type { ReplaySettings } from './settings.ts';

const REQUEST_QUEUE_SIZE = 8;
const EVENT_QUEUE_SIZE = 16;

const TYPE_NAMES = new Map<number, string>(Object.entries(REQUEST).map(([name, type]) => [type, name]));

/** A device with a guest just big enough to hand it one recorded request at a time and to empty its event queue. */
class Bench {
  readonly device: VirtioIommuDevice;
  readonly #memory = new ReplayMemory();
  readonly #mmio: VirtioMmio;
  readonly #requests: SplitQueue;
  readonly #events: EventConsumer;
  #buffer = { pa: 0, bytes: 0 };

  constructor(settings: VirtioIommuHardware) {
    const memory = this.#memory;
    const lines = { virtio: { pulse: () => {} } };
    this.device = new VirtioIommuDevice({ memory, irq: lines, defer: (work) => work() }, settings);
    this.#mmio = new VirtioMmio(this.device.mmio, { relax: () => {} });
    this.#mmio.begin();
    const accepted = this.#mmio.offeredFeatures() & ~(1n << BigInt(FEATURES.BYPASS));
    this.#mmio.acceptFeatures(accepted);
    const eventIdx = ((accepted >> BigInt(FEATURES.EVENT_IDX)) & 1n) === 1n;
    this.#requests = new SplitQueue(memory, memory, REQUEST_QUEUE_SIZE, { eventIdx, interrupts: false });
    this.#mmio.startQueue(QUEUE.REQUEST, this.#requests);
    this.#events = new EventConsumer(memory, memory, EVENT_QUEUE_SIZE, eventIdx);
    this.#events.start(this.#mmio);
    this.#mmio.addStatus(STATUS.DRIVER_OK);
  }

  /** Used length (-1: never completed) and the device-written bytes. */
  submit(raw: Uint8Array, border: number): { used: number; written: Uint8Array } {
    const pa = this.#place(raw, border);
    this.#describe(pa, border, raw.length - border);
    this.#requests.offer(0);
    if (this.#requests.publish()) this.#mmio.notify(QUEUE.REQUEST);
    if (!this.#requests.take()) return { used: -1, written: new Uint8Array(0) };
    const used = this.#requests.usedLength;
    const written = new Uint8Array(Math.min(used, raw.length - border));
    this.#memory.readBytes(BigInt(pa + border), written);
    return { used, written };
  }

  emptyEvents(): void {
    this.#events.drain();
  }

  /** The readable part as it stands; the rest is the device's, and cleared. */
  #place(raw: Uint8Array, border: number): number {
    if (raw.length > this.#buffer.bytes) this.#buffer = { pa: this.#memory.alloc(raw.length), bytes: raw.length };
    const input = new Uint8Array(raw.length);
    input.set(raw.subarray(0, border));
    this.#memory.writeBytes(BigInt(this.#buffer.pa), input);
    return this.#buffer.pa;
  }

  #describe(pa: number, readable: number, writable: number): void {
    const { NEXT, WRITE } = DESCRIPTOR_FLAG;
    if (readable > 0 && writable > 0) {
      this.#requests.describe(0, pa, readable, NEXT, 1);
      this.#requests.describe(1, pa + readable, writable, WRITE);
    } else if (readable > 0) this.#requests.describe(0, pa, readable, 0);
    else this.#requests.describe(0, pa, writable, WRITE);
  }
}

/** The device as a query sees it: like a guest's interrupt handler, it gives event buffers back after each report. */
class ReplayHardware implements HardwareModel {
  bench: Bench;

  constructor(bench: Bench) {
    this.bench = bench;
  }

  get mmio(): MmioRegion {
    return this.bench.device.mmio;
  }

  get mmioBytes(): number {
    return this.bench.device.mmioBytes;
  }

  get probe(): HardwareProbe | null {
    return this.bench.device.probe;
  }

  set probe(probe: HardwareProbe | null) {
    this.bench.device.probe = probe;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    this.bench.device.translate(request, answer);
    if (answer.recordWords > 0) this.bench.emptyEvents();
  }

  reset(): void {
    this.bench.device.reset();
  }

  wake(frame: Uint8Array): void {
    this.bench.device.wake(frame);
  }

  dropCaches(): void {
    this.bench.device.dropCaches();
  }
}

/** Feeds recorded requests to the device, each as one descriptor chain. */
export class VirtioReplaySession implements ReplaySession {
  readonly hardware: ReplayHardware;
  readonly #settings: ReplaySettings;
  #started = false;

  constructor(settings: ReplaySettings) {
    this.#settings = settings;
    this.hardware = new ReplayHardware(new Bench(settings.hardware));
  }

  /** The device under the replay, for tests that look at its final state. */
  get device(): VirtioIommuDevice {
    return this.hardware.bench.device;
  }

  submit(request: RecordedRequest): ReplayedRequest {
    const border = borderOf(request);
    if (!this.#started) this.#learn(request, border);
    this.#started = true;
    const { used, written } = this.hardware.bench.submit(request.raw, border);
    const type = TYPE_NAMES.get(request.raw[0] ?? 0) ?? 'UNKNOWN';
    return { seq: request.seq, type, status: statusOf(used, written), used, raw: written };
  }

  /**
   * Drivers probe before they attach, so the first request tells what the settings left open: the size of the property
   * area its buffer has room for; or, when it is no PROBE, that the device named no reserved region.
   */
  #learn({ raw }: RecordedRequest, border: number): void {
    const { hardware, open } = this.#settings;
    const probes = raw[0] === REQUEST.PROBE;
    const reserved = open.reserved && !probes ? [] : hardware.reserved;
    const room = raw.length - border - TAIL_BYTES;
    const learns = open.probeSize && probes && room >= reserved.length * RESV_MEM_BYTES && room <= PROBE_SIZE_LIMIT;
    const probeSize = learns ? room : hardware.probeSize;
    if (probeSize === hardware.probeSize && reserved === hardware.reserved) return;
    const { probe } = this.hardware;
    this.hardware.bench = new Bench({ ...hardware, probeSize, reserved });
    this.hardware.probe = probe;
  }
}

function statusOf(used: number, written: Uint8Array): string | null {
  if (used < TAIL_BYTES || written.length < TAIL_BYTES) return null;
  return statusName(written[written.length - TAIL_BYTES]!) ?? null;
}
