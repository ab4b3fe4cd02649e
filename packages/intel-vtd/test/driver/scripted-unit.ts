import {
  type DriverPorts,
  type FaultRecord,
  type PhysicalMemory,
  type UnitDescription,
  WordMmio,
} from '@iommukit/core';
import { PageAllocator, SparseMemory } from '@iommukit/machine';
import { VtdDriver } from '../../src/driver/driver.ts';

/** CAP and ECAP of the captured machines (see the READMEs of the captures), and one that has all this driver uses. */
export const LEGACY = { cap: 0xd2_008c_222f_0606n, ecap: 0xf0_0f4an };
export const FIRST_STAGE = { cap: 0x1d2_008c_222f_0606n, ecap: 0x8800_00f0_0f4en };
/** SMTS FSTS SSTS NEST PASID PSS=19 PT SC QI C DT SMPWCS SSADS SRS EAFS; CAP: FS1GP FS5LP, PSI, MAMV 9, 3- to 5-level. */
export const FULL = {
  cap: (1n << 60n) | (1n << 56n) | (9n << 48n) | (1n << 39n) | (3n << 34n) | (0x22n << 24n) | (56n << 16n) | 0xe06n,
  ecap:
    (1n << 48n) |
    (1n << 47n) |
    (1n << 46n) |
    (1n << 45n) |
    (1n << 43n) |
    (1n << 40n) |
    (19n << 35n) |
    (1n << 34n) |
    (1n << 31n) |
    (1n << 26n) |
    (0xf0n << 8n) |
    (1n << 7n) |
    (1n << 6n) |
    (1n << 2n) |
    3n,
};

export interface Registers {
  readonly cap: bigint;
  readonly ecap: bigint;
  readonly ver?: number;
}

/** One descriptor as the unit fetched it, quadwords in order; 128-bit ones have two. */
export type Fetched = readonly bigint[];

const TE = 0x8000_0000;
const SRTP = 0x4000_0000;
const WBF = 0x0800_0000;
const QIE = 0x0400_0000;

/**
 * Registers that do what the manual says a command does, and no IOMMU behind them: status bits follow commands, the queue
 * is fetched and waits are answered. Everything written and fetched is kept. Written by hand from the manual's offsets, so
 * that a wrong number in the declarations shows.
 */
export class ScriptedUnit extends WordMmio {
  readonly writes: (readonly [at: number, bytes: number, value: bigint])[] = [];
  readonly fetched: Fetched[] = [];
  readonly words = new Map<number, number>();
  /** false: nothing is answered any more. */
  alive = true;
  /** true: the queue is not fetched, commands still work. */
  stalled = false;
  /** true: the queue is fetched when software relaxes, not when it writes the tail. */
  lazy = false;
  /** Descriptors to refuse: returns the IQEI code, 0 to accept. */
  refuse: (descriptor: Fetched) => number = () => 0;
  private gsts = 0;
  private head = 0;
  private readonly memory: PhysicalMemory;

  constructor({ cap, ecap, ver = 0x10 }: Registers, memory: PhysicalMemory) {
    super();
    this.memory = memory;
    this.words.set(0x00, ver);
    this.put64(0x08, cap);
    this.put64(0x10, ecap);
    this.words.set(0x38, 0x8000_0000);
  }

  get enabled(): boolean {
    return (this.gsts & TE) !== 0;
  }

  /** Register writes other than the queue's tail, as `offset=value`. */
  get program(): string[] {
    return this.writes.filter(([at]) => at !== 0x88).map(([at, , value]) => `${at.toString(16)}=${value.toString(16)}`);
  }

  /** Sets GSTS as firmware might have left it. */
  leave(gsts: number): void {
    this.gsts = gsts;
  }

  /** A pending fault record. */
  fault(index: number, lo: bigint, hi: bigint): void {
    const at = Number((this.get64(0x08) >> 24n) & 0x3ffn) * 16 + index * 16;
    this.put64(at, lo);
    this.put64(at + 8, hi);
  }

  get64(at: number): bigint {
    return BigInt(this.words.get(at) ?? 0) | (BigInt(this.words.get(at + 4) ?? 0) << 32n);
  }

  put64(at: number, value: bigint): void {
    this.words.set(at, Number(value & 0xffff_ffffn));
    this.words.set(at + 4, Number(value >> 32n));
  }

  override read32(at: number): number {
    if (at === 0x1c) return this.gsts >>> 0;
    if (at === 0x80) return this.head;
    return this.words.get(at) ?? 0;
  }

  override read64(at: number): bigint {
    return BigInt(this.read32(at)) | (BigInt(this.read32(at + 4)) << 32n);
  }

  override write32(at: number, value: number): void {
    this.writes.push([at, 4, BigInt(value)]);
    if (at === 0x18) this.command(value);
    else if (at === 0x88) this.tail(value);
    else if (at === 0x34) this.clearStatus(value);
    else if (value === 0x8000_0000 && at >= 0x200) this.words.set(at, (this.words.get(at) ?? 0) & 0x7fff_ffff);
    else this.words.set(at, value);
  }

  override write64(at: number, value: bigint): void {
    this.writes.push([at, 8, value]);
    if (at === 0x88) this.tail(Number(value));
    else this.put64(at, value);
    if (this.alive) this.registerInvalidation(at, value);
  }

  private command(value: number): void {
    if (!this.alive) return;
    if ((value & QIE) === 0) this.head = 0;
    const held = TE | QIE | 0x0280_0000;
    this.gsts = (this.gsts & ~held) | (value & held) | (value & SRTP);
    if ((value & WBF) !== 0) this.gsts &= ~WBF;
  }

  /** CCMD and IOTLB: what was asked for is what was done. */
  private registerInvalidation(at: number, value: bigint): void {
    const iotlb = Number((this.get64(0x10) >> 8n) & 0x3ffn) * 16 + 8;
    const shift = at === 0x28 ? 2n : at === iotlb ? 3n : null;
    if (shift === null || value >> 63n === 0n) return;
    const asked = at === 0x28 ? (value >> 61n) & 3n : (value >> 60n) & 3n;
    const done = at === 0x28 ? asked << 59n : asked << 57n;
    this.put64(at, (value & ~(1n << 63n)) | done);
  }

  private clearStatus(value: number): void {
    this.words.set(0x34, (this.words.get(0x34) ?? 0) & ~(value & 0x71));
    this.fetch();
  }

  private tail(value: number): void {
    this.words.set(0x88, value);
    if (!this.lazy) this.fetch();
  }

  fetch(): void {
    if (this.stalled) return;
    const iqa = this.get64(0x90);
    const wide = ((iqa >> 11n) & 1n) === 1n;
    const bytes = wide ? 32 : 16;
    const size = 4096 << Number(iqa & 7n);
    while (this.alive && this.gsts & QIE && (this.read32(0x34) & 0x50) === 0 && this.head !== this.read32(0x88)) {
      const descriptor = this.descriptorAt((iqa & ~0xfffn) + BigInt(this.head), bytes);
      const error = this.refuse(descriptor);
      if (error !== 0) {
        this.put64(0xb0, BigInt(error));
        this.words.set(0x34, this.read32(0x34) | 0x10);
        return;
      }
      this.fetched.push(descriptor);
      this.head = (this.head + bytes) % size;
      if ((descriptor[0]! & 0xfn) === 5n) this.wait(descriptor);
    }
  }

  private wait([lo, hi]: Fetched): void {
    if ((lo! & 0x20n) === 0n) return;
    const status = new Uint8Array(4);
    new DataView(status.buffer).setUint32(0, Number(lo! >> 32n), true);
    this.memory.writeBytes(hi!, status);
  }

  private descriptorAt(pa: bigint, bytes: number): Fetched {
    const raw = new Uint8Array(bytes);
    this.memory.readBytes(pa, raw);
    const view = new DataView(raw.buffer);
    return Array.from({ length: bytes / 8 }, (_, i) => view.getBigUint64(i * 8, true));
  }
}

export interface Rig {
  readonly unit: ScriptedUnit;
  readonly memory: SparseMemory;
  readonly pages: PageAllocator;
  readonly driver: VtdDriver;
  readonly faults: FaultRecord[];
  /** Calls the fault event's handler, as an interrupt does. */
  interrupt(): void;
  /** Quadword at a physical address. */
  quad(pa: bigint): bigint;
  /** Descriptors since the last call, waits left out, as `lo:hi` in hex. */
  descriptors(): string[];
}

export const PAGES_BASE = 0x4000_0000n;

/** A driver over scripted registers; not probed. */
export function rig(registers: Registers, description: Partial<UnitDescription> = {}): Rig {
  const memory = new SparseMemory();
  const pages = new PageAllocator(memory.port(), PAGES_BASE, PAGES_BASE + 0xfff_ffffn);
  const unit = new ScriptedUnit(registers, memory.port());
  let handler: (() => void) | null = null;
  const fault = { msi: { address: 0xfee0_0000n, data: 0x20 }, handle: (h: (() => void) | null) => (handler = h) };
  const ports: DriverPorts = {
    mmio: unit,
    memory: memory.port(),
    pages,
    irq: { fault },
    time: { relax: () => unit.fetch() },
  };
  const driver = new VtdDriver(ports, {
    id: 'unit',
    mmioBase: 0xfed9_0000n,
    hostAddressBits: 46,
    reservations: [],
    properties: {},
    ...description,
  });
  const faults: FaultRecord[] = [];
  driver.onFault((record) => faults.push(record));
  return {
    unit,
    memory,
    pages,
    driver,
    faults,
    interrupt: () => handler?.(),
    quad: (pa) => {
      const bytes = new Uint8Array(8);
      memory.readBytes(pa, bytes);
      return new DataView(bytes.buffer).getBigUint64(0, true);
    },
    descriptors: () =>
      unit.fetched
        .splice(0)
        .filter(([lo]) => (lo! & 0xfn) !== 5n)
        .map(([lo, hi]) => `${lo!.toString(16)}:${hi!.toString(16)}`),
  };
}

/** The same, probed, with the start-up descriptors and writes forgotten. */
export function upRig(registers: Registers, description?: Partial<UnitDescription>): Rig {
  const made = rig(registers, description);
  made.driver.probe();
  made.unit.fetched.length = 0;
  made.unit.writes.length = 0;
  return made;
}

export const device = (requesterIds: number[], more: { pasidBits?: number; ats?: boolean } = {}) => ({
  name: `device ${requesterIds[0]!.toString(16)}`,
  requesterIds,
  pasidBits: 0,
  ats: false,
  pri: false,
  coherent: false,
  isolation: null,
  busLimits: [],
  ...more,
});

export const hexOf = (words: readonly bigint[]): string[] => words.map((word) => word.toString(16));
