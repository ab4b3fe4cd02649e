import { hexToBytes, hiOf, loOf, toBig } from '@iommukit/bits';
import { ACCESS, type Access, DmaAnswer, DmaRequest, OUTCOME } from '@iommukit/core';
import { SparseMemory } from '@iommukit/machine';
import { checkHardware, DEFAULT_HARDWARE } from '../../src/config.ts';
import { VirtioIommuDevice } from '../../src/hardware/device.ts';
import type { VirtioIommuHardware } from '../../src/hardware/settings.ts';

export const SIZE = 16;
/** Queue areas and buffers, by hand: nothing here comes from the driver half. */
export const AT = {
  request: { desc: 0x1000n, avail: 0x2000n, used: 0x3000n },
  event: { desc: 0x4000n, avail: 0x5000n, used: 0x6000n },
  buffers: 0x1_0000n,
  events: 0x8000n,
} as const;

export interface Segment {
  readonly at: bigint;
  readonly length: number;
  readonly write: boolean;
}

const u16 = (value: number) => Uint8Array.of(value & 0xff, value >> 8);
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);

/** A device in memory of its own and a guest made of plain stores: bytes and registers in, bytes and registers out. */
export class DeviceRig {
  readonly memory = new SparseMemory();
  readonly device: VirtioIommuDevice;
  interrupts = 0;
  private avail = { request: 0, event: 0 };
  private seen = 0;

  constructor(changes: Partial<VirtioIommuHardware> = {}) {
    const settings = { ...DEFAULT_HARDWARE, queueSizeMax: SIZE, ...changes };
    checkHardware(settings);
    const line = { pulse: () => void this.interrupts++ };
    this.device = new VirtioIommuDevice(
      { memory: this.memory, irq: { virtio: line }, defer: (work) => work() },
      settings,
    );
  }

  read(offset: number): number {
    return this.device.mmio.read32(offset);
  }

  write(offset: number, value: number): void {
    this.device.mmio.write32(offset, value);
  }

  offered(): bigint {
    this.write(0x14, 1);
    const high = BigInt(this.read(0x10));
    this.write(0x14, 0);
    return (high << 32n) | BigInt(this.read(0x10));
  }

  negotiate(accepted = this.offered() & ~8n): void {
    this.write(0x70, 0);
    this.write(0x70, 1);
    this.write(0x70, 3);
    this.write(0x24, 0);
    this.write(0x20, Number(accepted & 0xffff_ffffn));
    this.write(0x24, 1);
    this.write(0x20, Number(accepted >> 32n));
    this.write(0x70, 0xb);
  }

  setQueue(index: 0 | 1, size = SIZE): void {
    const areas = index === 0 ? AT.request : AT.event;
    this.write(0x30, index);
    this.write(0x38, size);
    for (const [offset, address] of [
      [0x80, areas.desc],
      [0x90, areas.avail],
      [0xa0, areas.used],
    ] as const) {
      this.write(offset, loOf(address) >>> 0);
      this.write(offset + 4, hiOf(address) >>> 0);
    }
    this.write(0x44, 1);
  }

  /** Reset, features, both queues, DRIVER_OK; eight event buffers posted. */
  start(accepted?: bigint): this {
    this.negotiate(accepted);
    this.avail = { request: 0, event: 0 };
    this.seen = 0;
    for (const area of [AT.request, AT.event]) {
      this.memory.writeBytes(area.avail, new Uint8Array(64));
      this.memory.writeBytes(area.used, new Uint8Array(256));
    }
    this.setQueue(0);
    this.setQueue(1);
    this.postEvents(8);
    this.write(0x70, 0xf);
    return this;
  }

  postEvents(count: number, length = 24): void {
    for (let i = 0; i < count; i++) {
      this.describe('event', i, AT.events + BigInt(64 * i), length, 2, 0);
      this.offer('event', i);
    }
  }

  describe(queue: 'request' | 'event', index: number, at: bigint, length: number, flags: number, next: number): void {
    this.writeDescriptor(AT[queue].desc + BigInt(16 * index), at, length, flags, next);
  }

  writeDescriptor(where: bigint, at: bigint, length: number, flags: number, next: number): void {
    this.memory.writeBytes(where, u64(at));
    this.memory.writeBytes(where + 8n, u32(length));
    this.memory.writeBytes(where + 12n, u16(flags));
    this.memory.writeBytes(where + 14n, u16(next));
  }

  offer(queue: 'request' | 'event', head: number): void {
    const index = this.avail[queue]++;
    this.memory.writeBytes(AT[queue].avail + 4n + BigInt(2 * (index % SIZE)), u16(head));
    this.memory.writeBytes(AT[queue].avail + 2n, u16(this.avail[queue] & 0xffff));
  }

  kick(): void {
    this.write(0x50, 0);
  }

  bytes(at: bigint, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.memory.readBytes(at, out);
    return out;
  }

  /** Used elements that came since the last call: `[id, length]`. */
  used(): [number, number][] {
    const word = (at: bigint) => new DataView(this.bytes(at, 4).buffer).getUint32(0, true);
    const index = word(AT.request.used) >>> 16;
    const found: [number, number][] = [];
    for (; this.seen !== index; this.seen = (this.seen + 1) & 0xffff) {
      const at = AT.request.used + 4n + BigInt(8 * (this.seen % SIZE));
      found.push([word(at), word(at + 4n)]);
    }
    return found;
  }

  /** Submits a chain of the given segments from descriptor 0 on. */
  chain(segments: readonly Segment[]): [number, number][] {
    segments.forEach(({ at, length, write }, i) => {
      const last = i === segments.length - 1;
      this.describe('request', i, at, length, (last ? 0 : 1) | (write ? 2 : 0), last ? 0 : i + 1);
    });
    this.offer('request', 0);
    this.kick();
    return this.used();
  }

  /** One request: `hex` is its readable part. Returns the used length and the whole writable area. */
  send(hex: string, writable = 4): { used: number; answer: Uint8Array } {
    const input = hexToBytes(hex);
    const answerAt = AT.buffers + 0x1000n;
    this.memory.writeBytes(AT.buffers, input);
    this.memory.writeBytes(answerAt, new Uint8Array(writable).fill(0xee));
    const [element] = this.chain([
      ...(input.length > 0 ? [{ at: AT.buffers, length: input.length, write: false }] : []),
      ...(writable > 0 ? [{ at: answerAt, length: writable, write: true }] : []),
    ]);
    return { used: element?.[1] ?? -1, answer: this.bytes(answerAt, writable) };
  }

  /** The status byte of a request without properties; -1 when the device wrote none. */
  status(hex: string): number {
    const { used, answer } = this.send(hex);
    return used === 4 ? answer[0]! : -1;
  }

  ask(device: number, iova: bigint, access: Access = ACCESS.READ): DmaAnswer {
    const request = new DmaRequest();
    const answer = new DmaAnswer();
    Object.assign(request, { device, iovaHi: hiOf(iova), iovaLo: loOf(iova), access });
    this.device.translate(request, answer);
    return answer;
  }

  /** Where an access ends up: an address, or the name of what refused it. */
  where(device: number, iova: bigint, access: Access = ACCESS.READ): bigint | string {
    const answer = this.ask(device, iova, access);
    if (answer.outcome === OUTCOME.FAULT) return `fault ${answer.code}`;
    return toBig(answer.paHi, answer.paLo);
  }
}

const le32 = (value: number) => Buffer.from(u32(value)).toString('hex');
const le64 = (value: bigint) => Buffer.from(u64(value)).toString('hex');

export const S = { OK: 0, IOERR: 1, UNSUPP: 2, DEVERR: 3, INVAL: 4, RANGE: 5, NOENT: 6, FAULT: 7, NOMEM: 8 } as const;

/** Requests as hex, written out field by field. */
export const attach = (domain: number, endpoint: number, flags = 0, reserved = 0): string =>
  `01000000${le32(domain)}${le32(endpoint)}${le32(flags)}${le32(reserved)}`;
export const detach = (domain: number, endpoint: number, reserved = 0n): string =>
  `02000000${le32(domain)}${le32(endpoint)}${le64(reserved)}`;
export const map = (domain: number, start: bigint, end: bigint, phys: bigint, flags = 3): string =>
  `03000000${le32(domain)}${le64(start)}${le64(end)}${le64(phys)}${le32(flags)}`;
export const unmap = (domain: number, start: bigint, end: bigint, reserved = 0): string =>
  `04000000${le32(domain)}${le64(start)}${le64(end)}${le32(reserved)}`;
export const probe = (endpoint: number, reserved = '00'.repeat(64)): string => `05000000${le32(endpoint)}${reserved}`;

export const start = (changes: Partial<VirtioIommuHardware> = {}) => new DeviceRig(changes).start();
/** Accepts everything offered but the bit named. */
export const startWithout = (bit: bigint, changes: Partial<VirtioIommuHardware> = {}) => {
  const rig = new DeviceRig(changes);
  return rig.start(rig.offered() & ~(1n << bit));
};
export const attached = (changes: Partial<VirtioIommuHardware> = {}) => {
  const rig = start(changes);
  if (rig.status(attach(1, 0x10)) !== S.OK) throw new Error('ATTACH was refused');
  return rig;
};
export const BYTE = {
  pageSizeMask: 0xffff_ffff_ffff_ffffn,
  inputRange: { start: 0n, last: (1n << 64n) - 1n },
  reserved: [],
};
