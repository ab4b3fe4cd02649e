import { bytesToHex } from '@iommukit/bits';
import type { DeviceDescription, DriverPorts, IommuDriver, UnitDescription } from '@iommukit/core';
import { isIommuError } from '@iommukit/core';
import { PageAllocator, SparseMemory } from '@iommukit/machine';
import { VirtioIommuDriver } from '../../src/driver/driver.ts';

/** What a scripted device writes: its answer's bytes, and the used length (default: all of them); null = never. */
export type Answer = { bytes: number[]; used?: number; id?: number } | null;
export const OK: Answer = { bytes: [0, 0, 0, 0] };
export const status = (code: number): Answer => ({ bytes: [code, 0, 0, 0] });

export interface Script {
  magic?: number;
  deviceId?: number;
  features?: bigint;
  /** Configuration space, 40 bytes. */
  config?: Uint8Array;
  refusesFeatures?: boolean;
  queueMax?: number;
  /** `bypass` cannot be written. */
  bypassSticks?: boolean;
  /** Status never becomes 0. */
  neverResets?: boolean;
  answer?: (request: string, nth: number) => Answer;
}

export const FEATURES = (1n << 32n) | 0x77n;

export function configSpace(
  changes: Partial<Record<'mask' | 'start' | 'end', bigint>> = {},
  domains = [0, 0xffff_ffff],
) {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, changes.mask ?? 0xffff_ffff_ffff_f000n, true);
  view.setBigUint64(8, changes.start ?? 0n, true);
  view.setBigUint64(16, changes.end ?? 0xffff_ffff_ffffn, true);
  view.setUint32(24, domains[0]!, true);
  view.setUint32(28, domains[1]!, true);
  view.setUint32(32, 64, true);
  return bytes;
}

/** A device made of registers, rings and a script: it obeys no rule that the script does not. */
export class ScriptedDevice {
  readonly memory = new SparseMemory();
  readonly pages = new PageAllocator(this.memory, 0x4000_0000n, 0x4fff_ffffn);
  readonly driver: IommuDriver;
  /** Readable parts of the requests that came, as hex. */
  readonly requests: string[] = [];
  readonly writes: [number, number][] = [];
  status = 0;
  handler: (() => void) | null = null;
  relaxed = 0;
  private readonly script: Script;
  private readonly registers = new Map<number, number>();
  private readonly config: Uint8Array;
  private lastAvail = 0;
  private usedIdx = 0;

  constructor(script: Script = {}) {
    this.script = script;
    this.config = script.config ?? configSpace();
    const mmio = {
      read8: (at: number) => (at >= 0x100 ? (this.config[at - 0x100] ?? 0) : 0),
      read16: () => 0,
      read32: (at: number) => this.read(at),
      read64: () => 0n,
      write8: (at: number, value: number) => this.writeConfig(at, value),
      write16: () => {},
      write32: (at: number, value: number) => this.write(at, value),
      write64: () => {},
    };
    const irq = { virtio: { msi: null, handle: (handler: (() => void) | null) => void (this.handler = handler) } };
    const time = { relax: () => void this.relaxed++ };
    const ports: DriverPorts = { mmio, memory: this.memory, pages: this.pages, irq, time };
    this.driver = new VirtioIommuDriver(ports, unit);
  }

  private read(at: number): number {
    if (at >= 0x100) return new DataView(this.config.buffer).getUint32(at - 0x100, true);
    const features = this.script.features ?? FEATURES;
    const fixed: Record<number, number> = {
      0: this.script.magic ?? 0x74726976,
      4: 2,
      8: this.script.deviceId ?? 23,
      16: Number((features >> BigInt(32 * (this.registers.get(0x14) ?? 0))) & 0xffff_ffffn),
      52: this.script.queueMax ?? 16,
      112: this.status,
    };
    return fixed[at] ?? this.registers.get(at) ?? 0;
  }

  private write(at: number, value: number): void {
    this.writes.push([at, value]);
    const queue = this.registers.get(0x30) ?? 0;
    this.registers.set(at >= 0x80 && at < 0xa8 ? at + 0x1000 * queue : at, value);
    if (at === 0x70) this.writeStatus(value);
    if (at === 0x50 && value === 0) this.drain();
  }

  private writeStatus(value: number): void {
    if (value === 0 && this.script.neverResets) return;
    if (value === 0) this.status = this.lastAvail = this.usedIdx = 0;
    else this.status = value & (this.script.refusesFeatures ? ~8 : ~0);
  }

  private writeConfig(at: number, value: number): void {
    if (!this.script.bypassSticks) this.config[at - 0x100] = value;
  }

  private area(at: number, queue = 0): bigint {
    const half = (offset: number) => BigInt(this.registers.get(offset + 0x1000 * queue) ?? 0);
    return half(at) | (half(at + 4) << 32n);
  }

  private view(at: bigint, length: number): DataView {
    const bytes = new Uint8Array(length);
    this.memory.readBytes(at, bytes);
    return new DataView(bytes.buffer);
  }

  private drain(): void {
    const avail = this.area(0x90);
    while (this.lastAvail !== this.view(avail + 2n, 2).getUint16(0, true)) {
      const head = this.view(avail + 4n + BigInt(2 * (this.lastAvail % 16)), 2).getUint16(0, true);
      this.lastAvail = (this.lastAvail + 1) & 0xffff;
      this.serve(head);
    }
  }

  /** Descriptors as the driver lays them out: one readable, one writable. */
  private serve(head: number): void {
    const first = this.view(this.area(0x80) + BigInt(16 * head), 16);
    const second = this.view(this.area(0x80) + BigInt(16 * first.getUint16(14, true)), 16);
    const request = new Uint8Array(this.view(first.getBigUint64(0, true), first.getUint32(8, true)).buffer);
    const hex = bytesToHex(request);
    const answer = (this.script.answer ?? defaultAnswer)(hex, this.requests.length);
    this.requests.push(hex);
    if (answer === null) return;
    this.memory.writeBytes(second.getBigUint64(0, true), Uint8Array.from(answer.bytes));
    this.push(0, answer.id ?? head, answer.used ?? answer.bytes.length);
  }

  private push(queue: number, id: number, length: number): void {
    const used = this.area(0xa0, queue);
    this.memory.writeBytes(
      used + 4n + BigInt(8 * (this.usedIdx % 16)),
      new Uint8Array(Uint32Array.of(id, length).buffer),
    );
    this.usedIdx = (this.usedIdx + 1) & 0xffff;
    this.memory.writeBytes(used, new Uint8Array(Uint16Array.of(0, this.usedIdx).buffer));
  }

  /** Puts a report into event buffer 0 and interrupts. */
  event(bytes: Uint8Array, length = bytes.length, id = 0): void {
    const descriptor = this.view(this.area(0x80, 1), 16);
    this.memory.writeBytes(descriptor.getBigUint64(0, true), bytes);
    const used = this.area(0xa0, 1);
    const index = this.view(used + 2n, 2).getUint16(0, true);
    this.memory.writeBytes(used + 4n + BigInt(8 * (index % 16)), new Uint8Array(Uint32Array.of(id, length).buffer));
    this.memory.writeBytes(used + 2n, new Uint8Array(Uint16Array.of(index + 1).buffer));
    this.registers.set(0x60, 1);
    this.handler?.();
  }
}

/** OK to everything; PROBE without properties. */
export const defaultAnswer = (request: string): Answer =>
  request.startsWith('05') ? { bytes: new Array(68).fill(0) } : OK;

const unit: UnitDescription = {
  id: 'scripted',
  mmioBase: 0n,
  hostAddressBits: 48,
  reservations: [],
  properties: {},
};

export const device = (...requesterIds: number[]): DeviceDescription => ({
  name: 'device',
  requesterIds,
  pasidBits: 0,
  ats: false,
  pri: false,
  coherent: false,
  isolation: null,
  busLimits: [],
});

export function errnoOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (isIommuError(error)) return error.errno;
    throw error;
  }
  return 'none';
}

/** A script that gives its own answer to requests of one type (first byte), and is agreeable otherwise. */
export const answering = (type: number, answer: (nth: number, hex: string) => Answer): Script => {
  let nth = 0;
  return { answer: (hex) => (Number.parseInt(hex.slice(0, 2), 16) === type ? answer(nth++, hex) : defaultAnswer(hex)) };
};

export function live(script: Script = {}) {
  const hardware = new ScriptedDevice(script);
  hardware.driver.probe();
  return hardware;
}
