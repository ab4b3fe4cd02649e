import { bytesToHex, hiOf, loOf } from '@iommukit/bits';
import { DmaAnswer, DmaRequest, type VendorConfig, type VendorPlugin } from '@iommukit/core';
import { Machine } from '../machine.ts';
import type { Unit } from '../unit.ts';
import { snapshotAnswer, snapshotMemory } from './snapshot.ts';
import type {
  MemoryPage,
  Trace,
  TraceAccess,
  TraceAnswer,
  TraceBoardEvent,
  TraceDma,
  TraceEntry,
  TraceMemoryWrite,
  TraceUnit,
} from './trace.ts';

/** Where a replay came out otherwise. `entry` is an index in the trace; -1 for the final memory. */
export interface ReplayDifference {
  readonly entry: number;
  readonly what: string;
  readonly recorded: string;
  readonly replayed: string;
}

export interface ReplayReport {
  readonly ok: boolean;
  /** Entries played. */
  readonly entries: number;
  /** The first of them; see {@link MAX_DIFFERENCES}. */
  readonly differences: readonly ReplayDifference[];
}

/** A replay stops after so many differences. */
export const MAX_DIFFERENCES = 20;

/** Finds the hardware for a recorded unit. */
export type UnitResolver = (unit: TraceUnit) => { readonly plugin: VendorPlugin; readonly config: VendorConfig };

/**
 * Plays a trace into fresh hardware with no driver present, and compares what registers read, what DMA is answered and
 * the memory that is left. With a plugin, every unit is of that vendor, in `config` or the recorded configuration.
 */
export function replay(trace: Trace, vendor: VendorPlugin | UnitResolver, config?: VendorConfig): ReplayReport {
  const resolve = typeof vendor === 'function' ? vendor : resolverOf(vendor, config);
  const player = new Player(trace, resolve);
  const entries = player.play(trace.entries);
  player.compareMemory(trace.memory);
  return { ok: player.differences.length === 0, entries, differences: player.differences };
}

function resolverOf(plugin: VendorPlugin, config: VendorConfig | undefined): UnitResolver {
  return (unit) => {
    const chosen = config ?? plugin.configs.find(({ name }) => name === unit.config);
    if (chosen === undefined) throw new RangeError(`${plugin.id} has no configuration '${unit.config}'`);
    return { plugin, config: chosen };
  };
}

class Player {
  readonly differences: ReplayDifference[] = [];
  readonly #machine: Machine;
  readonly #resolve: UnitResolver;
  readonly #request = new DmaRequest();
  readonly #answer = new DmaAnswer();
  #at = 0;

  constructor(trace: Trace, resolve: UnitResolver) {
    const { schedule, messageInterrupts, ram } = trace;
    this.#machine = new Machine({ schedule, messageInterrupts, ...(ram === null ? {} : { ram }) });
    this.#resolve = resolve;
  }

  play(entries: readonly TraceEntry[]): number {
    for (this.#at = 0; this.#at < entries.length && this.differences.length < MAX_DIFFERENCES; this.#at++)
      this.#step(entries[this.#at]!);
    return this.#at;
  }

  compareMemory(recorded: readonly MemoryPage[]): void {
    this.#at = -1;
    const replayed = new Map(snapshotMemory(this.#machine.memory).map((page) => [page.address, page.bytes]));
    for (const { address, bytes } of recorded) {
      this.#comparePage(address, bytes, replayed.get(address) ?? new Uint8Array(bytes.length));
      replayed.delete(address);
    }
    for (const [address, bytes] of replayed) this.#comparePage(address, new Uint8Array(bytes.length), bytes);
  }

  #step(entry: TraceEntry): void {
    if ('offset' in entry) this.#access(entry);
    else if (entry.op === 'memory') this.#writeMemory(entry);
    else if (entry.op === 'dma') this.#dma(entry);
    else this.#board(entry);
  }

  #board(entry: TraceBoardEvent): void {
    const machine = this.#machine;
    if (entry.op === 'unit') this.#addUnit(entry.unit);
    else if (entry.op === 'poison') machine.memory.poison(entry.start, entry.last);
    else if (entry.op === 'heal') machine.memory.heal();
    else if (entry.op === 'relax') machine.run();
    else if (entry.op === 'settle') machine.settle();
    else if (entry.op === 'reset') machine.reset();
    else machine.schedule = entry.schedule;
  }

  #addUnit(unit: TraceUnit): void {
    const { plugin, config } = this.#resolve(unit);
    const { id, mmioBase, hostAddressBits } = unit;
    this.#machine.addUnit(plugin, config, { id, mmioBase, hostAddressBits });
  }

  #unit(index: number): Unit {
    const unit = this.#machine.units[index];
    if (unit === undefined) throw new RangeError(`the trace names unit ${index} before adding it`);
    return unit;
  }

  #access({ op, unit, offset, size, value }: TraceAccess): void {
    const { id, ports } = this.#unit(unit);
    if (op === 'write') {
      WRITE[size](ports.mmio, offset, value);
      return;
    }
    const found = BigInt.asUintN(size * 8, BigInt(READ[size](ports.mmio, offset)));
    if (found !== value)
      this.#differ(`${id} read of ${size} bytes at 0x${offset.toString(16)}`, value.toString(16), found.toString(16));
  }

  #writeMemory({ address, bytes, word }: TraceMemoryWrite): void {
    if (!writeBack(this.#machine, address, bytes, word))
      this.#differ(`memory write at 0x${address.toString(16)}`, 'done', 'aborted');
  }

  #dma({ unit, request, answer }: TraceDma): void {
    const { id, hardware } = this.#unit(unit);
    hardware.translate(Object.assign(this.#request, request), this.#answer);
    const recorded = describe(answer);
    const replayed = describe(snapshotAnswer(this.#answer));
    if (recorded !== replayed) this.#differ(`${id} answer to device ${request.device}`, recorded, replayed);
  }

  #comparePage(address: bigint, recorded: Uint8Array, replayed: Uint8Array): void {
    const first = recorded.findIndex((byte, i) => byte !== replayed[i]);
    if (first < 0 || this.differences.length >= MAX_DIFFERENCES) return;
    const word = first & ~7;
    const shown = (bytes: Uint8Array) => bytesToHex(bytes.subarray(word, word + 8));
    this.#differ(`memory at 0x${(address + BigInt(word)).toString(16)}`, shown(recorded), shown(replayed));
  }

  #differ(what: string, recorded: string, replayed: string): void {
    this.differences.push({ entry: this.#at, what, recorded, replayed });
  }
}

type Mmio = Unit['ports']['mmio'];

const READ = {
  1: (mmio: Mmio, offset: number) => mmio.read8(offset),
  2: (mmio: Mmio, offset: number) => mmio.read16(offset),
  4: (mmio: Mmio, offset: number) => mmio.read32(offset),
  8: (mmio: Mmio, offset: number) => mmio.read64(offset),
} as const;

const WRITE = {
  1: (mmio: Mmio, offset: number, value: bigint) => mmio.write8(offset, Number(value)),
  2: (mmio: Mmio, offset: number, value: bigint) => mmio.write16(offset, Number(value)),
  4: (mmio: Mmio, offset: number, value: bigint) => mmio.write32(offset, Number(value)),
  8: (mmio: Mmio, offset: number, value: bigint) => mmio.write64(offset, value),
} as const;

/** Words go back as words: a device on the bus can tell. */
function writeBack({ memory }: Machine, address: bigint, bytes: Uint8Array, word: boolean): boolean {
  if (!word) return memory.writeBytes(address, bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hi = hiOf(address);
  const lo = loOf(address);
  if (bytes.length === 4) return memory.write32(hi, lo, view.getInt32(0, true));
  return memory.write64(hi, lo, view.getInt32(4, true), view.getInt32(0, true));
}

function describe(answer: TraceAnswer): string {
  const show = (value: number | bigint | Uint8Array) =>
    value instanceof Uint8Array ? bytesToHex(value) : typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
  const given = Object.entries(answer).filter(([, value]) => value !== null);
  return given.map(([key, value]) => `${key}=${show(value)}`).join(' ');
}
