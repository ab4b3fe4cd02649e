import { bytesToHex, bytesToWords, hexToBytes, wordsToBytes } from '@iommukit/bits';
import type { DeviceDescription, DriverPorts, InterruptSource, UnitDescription } from '@iommukit/core';
import { TestMemory } from '@iommukit/page-table/testing';

/** Offsets by hand (IHI 0070 6.2): the script must not share declarations with what it tests. */
const IDR0 = 0x00;
const IDR1 = 0x04;
const IDR3 = 0x0c;
const IDR5 = 0x14;
const CR0 = 0x20;
const CR0ACK = 0x24;
const GBPA = 0x44;
const IRQ_CTRL = 0x50;
const IRQ_CTRLACK = 0x54;
const GERROR = 0x60;
const GERRORN = 0x64;
const CMDQ_BASE = 0x90;
const CMDQ_PROD = 0x98;
const CMDQ_CONS = 0x9c;
const EVENTQ_BASE = 0xa0;
const EVENTQ_PROD = 0x100a8;

export interface Script {
  readonly idr0?: number;
  readonly idr1?: number;
  readonly idr3?: number;
  readonly idr5?: number;
  /** Registers that never answer: `cr0`, `cmdq`. */
  readonly dead?: 'cr0' | 'cmdq' | 'irq';
  /** CR0 as found at the start. */
  readonly cr0?: number;
}

/** IDRs of QEMU's model in the first capture: stage 1, 4K 16K 64K, 44 bits, ASID16, CD2L, RIL, 16 bits of StreamID. */
export const CAPTURE_A = { idr0: 0x0d44_101a, idr1: 0x0273_0010, idr3: 0x1404, idr5: 0x74 } as const;
/** The second capture: stage 2 only. */
export const CAPTURE_B = { idr0: 0x0d44_1019, idr1: 0x0273_0010, idr3: 0x1414, idr5: 0x74 } as const;
/** Both stages, VMID16, FWB, no RIL, 10 bits of SubstreamID. */
export const NESTING = { idr0: 0x0d44_101b, idr1: 0x0273_0290, idr3: 0x0110, idr5: 0x74 } as const;

/**
 * An SMMU that only does what the test says: it acknowledges, takes commands off the ring and keeps their bytes. It knows
 * no tables and translates nothing.
 */
export class ScriptedSmmu implements DriverPorts {
  readonly memory = new TestMemory();
  readonly pages = this.memory;
  readonly time = { relax: (): void => {} };
  /** `offset=value` of every register write, in hex, but for CMDQ_PROD. */
  readonly writes: string[] = [];
  /** Commands taken since the last {@link takeCommands}, in memory order. */
  commands: string[] = [];
  /** Called for each command before it is consumed; true = CERROR_ILL. */
  onCommand: (raw: string) => boolean = () => false;
  /** Called after each 32-bit read. */
  onRead: (offset: number) => void = () => {};
  /** Called at each SYNC. */
  onSync: () => void = () => {};
  readonly #registers = new Map<number, number>();
  readonly #dead: Script['dead'];
  readonly #handlers = new Map<string, (() => void) | null>();
  readonly irq: Readonly<Record<string, InterruptSource>> = {
    eventq: this.#source('eventq'),
    gerror: this.#source('gerror'),
  };

  constructor(script: Script = CAPTURE_A) {
    this.#dead = script.dead;
    const idr = { ...CAPTURE_A, ...script };
    this.#registers.set(IDR0, idr.idr0).set(IDR1, idr.idr1).set(IDR3, idr.idr3).set(IDR5, idr.idr5);
    this.#registers
      .set(0x1c, 1)
      .set(CR0, script.cr0 ?? 0)
      .set(CR0ACK, script.cr0 ?? 0)
      .set(GBPA, 0x1000);
  }

  readonly mmio = {
    read8: (): number => 0,
    read16: (): number => 0,
    read32: (offset: number): number => {
      const value = this.register(offset);
      this.onRead(offset);
      return value;
    },
    read64: (offset: number): bigint => (BigInt(this.register(offset + 4)) << 32n) | BigInt(this.register(offset)),
    write8: (): void => {},
    write16: (): void => {},
    write32: (offset: number, value: number): void => this.#write(offset, value),
    write64: (offset: number, value: bigint): void => {
      this.writes.push(`${offset.toString(16)}=${value.toString(16)}`);
      this.#registers.set(offset, Number(value & 0xffff_ffffn)).set(offset + 4, Number(value >> 32n));
    },
  };

  register(offset: number): number {
    return this.#registers.get(offset) ?? 0;
  }

  /** Base address of a queue or table register. */
  base(offset: number): number {
    return (this.register(offset + 4) & 0xff_ffff) * 2 ** 32 + ((this.register(offset) & ~31) >>> 0);
  }

  /** Commands so far, and forget them. */
  takeCommands(): string[] {
    const taken = this.commands;
    this.commands = [];
    return taken;
  }

  /** The 64-bit words of a structure, in hex. */
  words(pa: number, count = 8): string[] {
    return Array.from({ length: count }, (_, i) => {
      const at = pa + i * 8;
      this.memory.read64(Math.floor(at / 2 ** 32), at | 0);
      return ((BigInt(this.memory.hi >>> 0) << 32n) | BigInt(this.memory.lo >>> 0)).toString(16);
    });
  }

  /** Address of a stream's entry through the two-level table with SPLIT 8. */
  steAddress(sid: number): number {
    const [l1] = this.words(this.base(0x80) + (sid >>> 8) * 8, 1);
    return Number(BigInt(`0x${l1}`) & 0xff_ffff_ffff_ffc0n) + (sid & 255) * 64;
  }

  /** Puts records into the event queue, as hex in memory order, and raises the interrupt. */
  raiseEvents(...records: string[]): void {
    this.putEvents(...records);
    this.interrupt('eventq');
  }

  /** The same without the interrupt. */
  putEvents(...records: string[]): void {
    const lg2 = this.register(EVENTQ_BASE) & 31;
    for (const record of records) {
      const prod = this.register(EVENTQ_PROD);
      this.#store(this.base(EVENTQ_BASE) + (prod & (2 ** lg2 - 1)) * 32, hexToBytes(record));
      this.#registers.set(EVENTQ_PROD, (((prod + 1) & (2 ** (lg2 + 1) - 1)) | (prod & 0x8000_0000)) >>> 0);
    }
  }

  set(offset: number, value: number): void {
    this.#registers.set(offset, value);
  }

  interrupt(name: string): void {
    this.#handlers.get(name)?.();
  }

  #source(name: string): InterruptSource {
    return { msi: null, handle: (handler) => void this.#handlers.set(name, handler) };
  }

  #write(offset: number, value: number): void {
    if (offset !== CMDQ_PROD) this.writes.push(`${offset.toString(16)}=${value.toString(16)}`);
    this.#registers.set(offset, value);
    if (offset === CR0 && this.#dead !== 'cr0') this.#registers.set(CR0ACK, value);
    if (offset === IRQ_CTRL && this.#dead !== 'irq') this.#registers.set(IRQ_CTRLACK, value);
    if (offset === GBPA) this.#registers.set(GBPA, value & 0x7fff_ffff);
    if (offset === CMDQ_PROD || offset === GERRORN) this.#consume();
  }

  #consume(): void {
    if (this.#dead === 'cmdq' || (this.register(CR0) & 8) === 0) return;
    const lg2 = this.register(CMDQ_BASE) & 31;
    const wrap = 2 ** (lg2 + 1) - 1;
    for (;;) {
      if (((this.register(GERROR) ^ this.register(GERRORN)) & 1) !== 0) return;
      const cons = this.register(CMDQ_CONS) & wrap;
      if (cons === (this.register(CMDQ_PROD) & wrap)) return;
      const raw = this.#load(this.base(CMDQ_BASE) + (cons & (2 ** lg2 - 1)) * 16, 16);
      if (this.onCommand(raw)) {
        this.#registers.set(CMDQ_CONS, (cons | (1 << 24)) >>> 0).set(GERROR, this.register(GERROR) ^ 1);
        return;
      }
      this.commands.push(raw);
      if (raw.startsWith('46')) this.onSync();
      this.#registers.set(CMDQ_CONS, (cons + 1) & wrap);
    }
  }

  #load(pa: number, length: number): string {
    const bytes = new Uint8Array(length);
    this.memory.readBytes(BigInt(pa), bytes);
    return bytesToHex(bytes);
  }

  #store(pa: number, bytes: Uint8Array): void {
    bytesToWords(bytes).forEach((word, i) => {
      const at = pa + i * 4;
      this.memory.write32(Math.floor(at / 2 ** 32), at | 0, word | 0);
    });
  }
}

export const UNIT: UnitDescription = {
  id: 'smmu0',
  mmioBase: 0x905_0000n,
  hostAddressBits: 52,
  reservations: [],
  properties: {},
};

export const deviceWith = (sids: readonly number[], more: Partial<DeviceDescription> = {}): DeviceDescription => ({
  name: `device ${sids[0]}`,
  requesterIds: sids,
  pasidBits: 0,
  ats: false,
  pri: false,
  coherent: false,
  isolation: null,
  busLimits: [],
  ...more,
});

export const hexOf = (words: ArrayLike<number>): string => bytesToHex(wordsToBytes(words));
