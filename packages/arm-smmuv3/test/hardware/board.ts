import { bytesToWords, toBig, wordsToBytes } from '@iommukit/bits';
import { ACCESS, DmaAnswer, DmaRequest, OUTCOME, type RequestKind } from '@iommukit/core';
import { SparseMemory } from '@iommukit/machine';
import { identification, type SmmuConfig, smmuConfig } from '../../src/config.ts';
import { CD } from '../../src/format/cd.ts';
import { EVENTS } from '../../src/format/events.ts';
import { REGISTERS, type RegisterName } from '../../src/format/registers.ts';
import { STE } from '../../src/format/ste.ts';
import { SmmuHardware } from '../../src/hardware/hardware.ts';

export const STRTAB = 0x10_0000n;
export const CMDQ = 0x20_0000n;
export const EVENTQ = 0x30_0000n;
export const CDS = 0x40_0000n;
/** Root tables of the two stages, each with room for sixteen 64 KiB tables. */
export const S1_ROOT = 0x100_0000n;
export const S2_ROOT = 0x200_0000n;
const TABLES = 0x1000_0000n;

export type SteFields = NonNullable<Parameters<typeof STE.encode>[0]>;
export type CdFields = NonNullable<Parameters<typeof CD.encode>[0]>;

export interface DmaOptions {
  readonly access?: 'read' | 'write' | 'execute';
  readonly pasid?: number;
  readonly privileged?: boolean;
  readonly kind?: RequestKind;
}

export interface Outcome {
  readonly outcome: 'translated' | 'bypass' | 'fault';
  readonly pa?: bigint;
  readonly lg2?: number;
  readonly rights?: number;
  /** The event's name, or ABORT for a silent refusal. */
  readonly event?: string;
  /** The words of the record; empty when nothing was recorded. */
  readonly record?: readonly number[];
}

/** A model with memory and nothing else: bytes and registers in, answers out. No driver. */
export class SmmuBoard {
  readonly memory = new SparseMemory();
  readonly hardware: SmmuHardware;
  readonly irq: Record<string, number> = { eventq: 0, gerror: 0, 'cmdq-sync': 0, priq: 0 };
  /** Work the model deferred, when {@link holdWork} is set. */
  readonly waiting: (() => void)[] = [];
  holdWork = false;
  private readonly request = new DmaRequest();
  readonly answer = new DmaAnswer();
  private prod = 0;
  private nextTable = TABLES;

  constructor(config: Partial<SmmuConfig> = {}) {
    const line = (name: string) => ({ pulse: () => void this.irq[name]!++ });
    this.hardware = new SmmuHardware(
      {
        memory: this.memory,
        irq: Object.fromEntries(Object.keys(this.irq).map((name) => [name, line(name)])),
        defer: (work) => (this.holdWork ? void this.waiting.push(work) : work()),
      },
      identification(smmuConfig(config)),
    );
  }

  /** Queues on, 64 streams in a linear table, translation on. */
  static running(config: Partial<SmmuConfig> = {}): SmmuBoard {
    const board = new SmmuBoard(config);
    board.start();
    return board;
  }

  start(): void {
    this.set('STRTAB_BASE', STRTAB);
    this.set('STRTAB_BASE_CFG', 6n);
    this.queues();
    this.set('CR2', 2n);
    this.set('CR0', 0xdn);
  }

  queues(commandLg2 = 4n, eventLg2 = 3n): void {
    this.set('CMDQ_BASE', CMDQ | commandLg2);
    this.set('EVENTQ_BASE', EVENTQ | eventLg2);
    this.set('IRQ_CTRL', 7n);
  }

  runWork(): void {
    for (const work of this.waiting.splice(0)) work();
  }

  get(name: RegisterName): bigint {
    const { at, size } = REGISTERS[name];
    return size === 8 ? this.hardware.mmio.read64(at) : BigInt(this.hardware.mmio.read32(at));
  }

  set(name: RegisterName, value: bigint): void {
    const { at, size } = REGISTERS[name];
    if (size === 8) this.hardware.mmio.write64(at, value);
    else this.hardware.mmio.write32(at, Number(value));
  }

  put(pa: bigint, words: ArrayLike<number>): void {
    if (!this.memory.writeBytes(pa, wordsToBytes(words))) throw new Error(`no memory at ${pa}`);
  }

  put64(pa: bigint, value: bigint): void {
    this.put(pa, [Number(value & 0xffff_ffffn), Number(value >> 32n)]);
  }

  words(pa: bigint, count: number): number[] {
    const bytes = new Uint8Array(count * 4);
    if (!this.memory.readBytes(pa, bytes)) throw new Error(`no memory at ${pa}`);
    return [...bytesToWords(bytes)];
  }

  ste(sid: number, fields: SteFields): void {
    this.put(STRTAB + BigInt(sid) * 64n, STE.encode(fields));
  }

  cd(pa: bigint, fields: CdFields): void {
    this.put(pa, CD.encode(fields));
  }

  /** Writes a command into the ring and rings the doorbell; a SYNC follows unless told otherwise. */
  command(words: ArrayLike<number>, sync = true): void {
    this.raw(words);
    if (sync) this.raw([0x46, 0, 0, 0]);
  }

  /** One slot of the ring, as it stands, and the doorbell. */
  raw(words: ArrayLike<number>): void {
    const lg2 = Number(this.get('CMDQ_BASE') & 0x1fn);
    this.put(CMDQ + BigInt(this.prod & (2 ** lg2 - 1)) * 16n, words);
    this.prod = (this.prod + 1) & (2 ** (lg2 + 1) - 1);
    this.set('CMDQ_PROD', BigInt(this.prod));
  }

  dma(sid: number, iova: bigint, options: DmaOptions = {}): Outcome {
    const { request, answer } = this;
    request.device = sid;
    request.pasid = options.pasid ?? -1;
    request.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
    request.iovaLo = Number(BigInt.asIntN(32, iova));
    request.access = { read: ACCESS.READ, write: ACCESS.WRITE, execute: ACCESS.EXECUTE }[options.access ?? 'read'];
    request.privileged = options.privileged ?? false;
    request.kind = options.kind ?? 0;
    this.hardware.translate(request, answer);
    return this.outcome();
  }

  private outcome(): Outcome {
    const { answer } = this;
    if (answer.outcome === OUTCOME.FAULT) {
      const event = answer.code < 0 ? 'ABORT' : (EVENTS[answer.code]?.name ?? `${answer.code}`);
      return { outcome: 'fault', event, record: [...answer.record.subarray(0, answer.recordWords)] };
    }
    const pa = toBig(answer.paHi, answer.paLo);
    const rights = answer.permissions;
    if (answer.outcome === OUTCOME.BYPASS) return { outcome: 'bypass', pa, rights };
    return { outcome: 'translated', pa, rights, lg2: answer.pageSizeLg2 };
  }

  /** A zeroed table, aligned to 2 MiB: no two share a last-level table of stage 2. */
  table(): bigint {
    const table = this.nextTable;
    this.nextTable += 0x20_0000n;
    return table;
  }

  /**
   * Writes `leaf` where a walk of `input` from `root` ends: `shifts` are the shifts of the levels from the root down,
   * the last one the leaf's. Tables on the way are made, and kept where they are.
   */
  map(root: bigint, shifts: readonly number[], input: bigint, leaf: bigint, rootBits = 9): bigint {
    let table = root;
    let at = 0n;
    shifts.forEach((shift, i) => {
      const bits = i === 0 ? rootBits : shifts[i - 1]! - shift;
      const index = (input >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n);
      at = table + index * 8n;
      if (i === shifts.length - 1) {
        this.put64(at, leaf);
        return;
      }
      const [lo, hi] = this.words(at, 2);
      const found = toBig(hi!, lo!);
      table = found !== 0n ? found & 0x0000_ffff_ffff_f000n : this.table();
      if (found === 0n) this.put64(at, table | 3n);
    });
    return at;
  }
}

/** A legal stage-1 STE, CD and stage-2 STE with 4 KiB granules and 48 bits: what tests vary one thing of. */
export const S1_STE: SteFields = { V: true, Config: 5, S1ContextPtr: CDS };
export const S1_CD: CdFields = {
  T0SZ: 16,
  TG0: 0,
  EPD1: true,
  V: true,
  IPS: 5,
  AA64: true,
  R: true,
  A: true,
  ASET: true,
  ASID: 7,
  TTB0: S1_ROOT,
};
export const S2_STE: SteFields = {
  V: true,
  Config: 6,
  S2VMID: 3,
  S2T0SZ: 16,
  S2SL0: 2,
  S2TG: 0,
  S2PS: 5,
  S2AA64: true,
  S2PTW: true,
  S2R: true,
  S2TTB: S2_ROOT,
};
export const NESTED_STE: SteFields = { ...S2_STE, ...S1_STE, Config: 7 };

/** Shifts of a 4 KiB walk from level 0, by the level it ends at. */
export const WALK_4K = { 3: [39, 30, 21, 12], 2: [39, 30, 21], 1: [39, 30] } as const;

/** Leaf descriptor bits. Stage 1: AF, SH, AP[1], global; stage 2: AF, SH, S2AP = rw, MemAttr normal. */
export const S1_PAGE = 0x743n;
export const S2_PAGE = 0x7ffn;
export const BLOCK = (page: bigint): bigint => page & ~2n;
