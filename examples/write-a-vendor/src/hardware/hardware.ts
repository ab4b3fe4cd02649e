import { RegisterFile, reader64, toBig } from '@iommukit/bits';
import {
  ACCESS,
  type DmaAnswer,
  type DmaRequest,
  FAULT_REASON,
  type FaultReason,
  type HardwareModel,
  type HardwarePorts,
  type HardwareProbe,
  type MmioRegion,
  OUTCOME,
  PERMISSION,
  type PhysicalMemory,
  REQUEST_KIND,
} from '@iommukit/core';
import { COMMAND_INDEX, CTRL_EN, FRAME_BYTES, PAGE_BITS, RECORD_INDEX, REGISTERS } from '../format/registers.ts';
import { CODE, type Code, DEVICE_ENTRY, DEVICES, MODE, PTE } from '../format/structures.ts';
import { EntryCache } from './cache.ts';
import { CommandQueue } from './command-queue.ts';
import { FaultLog } from './fault-log.ts';
import { Frame } from './frame.ts';
import { fieldMask, reservedMask, wordOf } from './masks.ts';
import { Walker } from './walker.ts';

const modeOf = reader64(DEVICE_ENTRY.fields.MODE);
const ROOT = fieldMask(DEVICE_ENTRY.fields.ROOT);
const RESERVED = reservedMask(DEVICE_ENTRY);
const writable = reader64(PTE.fields.W);
const ADDR = fieldMask(PTE.fields.ADDR);
const CTRL = wordOf(REGISTERS.CTRL);
const TABLE = wordOf(REGISTERS.DTBASE);

/** The common word for each code, by code. */
const REASONS: readonly FaultReason[] = [
  FAULT_REASON.UNKNOWN,
  FAULT_REASON.BAD_DEVICE,
  FAULT_REASON.BLOCKED,
  FAULT_REASON.BAD_CONFIG,
  FAULT_REASON.FETCH_ABORT,
  FAULT_REASON.ADDRESS_SIZE,
  FAULT_REASON.NOT_PRESENT,
  FAULT_REASON.BAD_ENTRY,
  FAULT_REASON.PERMISSION,
  FAULT_REASON.BAD_PASID,
  FAULT_REASON.UNSUPPORTED,
];

/** The TS1, as its manual describes it. */
export class TurnstileHardware implements HardwareModel {
  readonly mmio: MmioRegion;
  readonly mmioBytes = FRAME_BYTES;
  readonly #memory: PhysicalMemory;
  readonly #registers: RegisterFile<typeof REGISTERS>;
  readonly #words: Int32Array;
  /** By requester id, under the tag 0: a slot for each. */
  readonly #entries = new EntryCache(DEVICES);
  /** By page, under their root. */
  readonly #leaves = new EntryCache(4096);
  readonly #walker: Walker;
  readonly #queue: CommandQueue;
  readonly #log: FaultLog;
  #probe: HardwareProbe | null = null;

  constructor(ports: HardwarePorts) {
    const process = () => this.#queue.process();
    const doorbell = () => ports.defer(process);
    this.#memory = ports.memory;
    this.#registers = new RegisterFile(REGISTERS, FRAME_BYTES, {
      effects: { CTRL: (was) => this.#switched(was), CQTAIL: doorbell, STATUS: doorbell },
      guards: { stopped: () => !this.#enabled },
    });
    this.#words = this.#registers.words;
    this.#walker = new Walker(ports.memory, this.#leaves);
    this.#queue = new CommandQueue(this.#words, ports.memory, this.#entries, this.#leaves);
    this.#log = new FaultLog(this.#words, ports.memory, ports.irq.fault);
    this.mmio = new Frame(this.#registers);
  }

  get probe(): HardwareProbe | null {
    return this.#probe;
  }

  set probe(probe: HardwareProbe | null) {
    this.#probe = this.#walker.probe = this.#queue.probe = this.#log.probe = probe;
  }

  reset(): void {
    this.#registers.reset();
    this.dropCaches();
  }

  wake(frame: Uint8Array): void {
    const registers = this.#registers;
    registers.load(frame);
    // A dump may claim bits that no TS1 has; an index outside its ring would never be reached.
    for (const base of ['DTBASE', 'CQBASE', 'FLBASE'] as const) registers.set(base, registers.get(base) & PAGE_BITS);
    for (const index of [wordOf(REGISTERS.CQTAIL), wordOf(REGISTERS.CQHEAD)]) this.#words[index]! &= COMMAND_INDEX;
    for (const index of [wordOf(REGISTERS.FLHEAD), wordOf(REGISTERS.FLTAIL)]) this.#words[index]! &= RECORD_INDEX;
    this.dropCaches();
  }

  dropCaches(): void {
    this.#entries.clear();
    this.#leaves.clear();
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    answer.recordWords = 0;
    if (!this.#enabled) {
      refuse(answer, FAULT_REASON.BLOCKED, -1);
      return;
    }
    const code = this.#decide(request, answer);
    if (code === CODE.NONE) return;
    refuse(answer, REASONS[code]!, code);
    this.#log.add(request, code, answer);
  }

  get #enabled(): boolean {
    return (this.#words[CTRL]! & CTRL_EN) !== 0;
  }

  /** Manual 2.1: setting EN starts over, with nothing remembered and both rings empty. */
  #switched(was: number): void {
    if ((was & CTRL_EN) !== 0 || !this.#enabled) return;
    this.dropCaches();
    this.#registers.set('CQHEAD', this.#registers.get('CQTAIL'));
    this.#registers.set('FLTAIL', this.#registers.get('FLHEAD'));
  }

  /** The flow chart of manual 1, top to bottom. */
  #decide(request: DmaRequest, answer: DmaAnswer): Code {
    if (request.kind !== REQUEST_KIND.UNTRANSLATED) return CODE.ATS;
    if (request.pasid !== -1) return CODE.PASID;
    if (request.device >>> 0 >= DEVICES) return CODE.NO_DEVICE;
    if (!this.#entries.find(0, 0, request.device) && !this.#fetch(request.device)) return CODE.FETCH;
    const { lo, hi } = this.#entries;
    if ((lo & RESERVED.lo) !== 0 || (hi & RESERVED.hi) !== 0) return CODE.BAD_ENTRY;
    switch (modeOf(lo, hi)) {
      case MODE.BLOCK:
        return CODE.BLOCKED;
      case MODE.BYPASS:
        return bypass(request, answer);
      case MODE.TRANSLATE:
        return this.#translated(request, hi & ROOT.hi, lo & ROOT.lo, answer);
      default:
        return CODE.BAD_ENTRY;
    }
  }

  #fetch(device: number): boolean {
    const memory = this.#memory;
    const atHi = this.#words[TABLE + 1]!;
    const atLo = this.#words[TABLE]! | (device << 3);
    if (!memory.read64(atHi, atLo)) return false;
    this.#entries.insert(0, 0, device, memory.hi, memory.lo);
    if (this.#probe !== null) this.#show(atHi, atLo);
    return true;
  }

  #show(atHi: number, atLo: number): void {
    const { lo, hi } = this.#entries;
    this.#probe?.structure?.('DEVICE_ENTRY', toBig(atHi, atLo), DEVICE_ENTRY, Uint32Array.of(lo, hi));
  }

  #translated(request: DmaRequest, rootHi: number, rootLo: number, answer: DmaAnswer): Code {
    const code = this.#walker.find(rootHi, rootLo, request.iovaHi, request.iovaLo);
    if (code !== CODE.NONE) return code;
    const { lo, hi } = this.#leaves;
    const mayWrite = writable(lo, hi) !== 0;
    if (request.access === ACCESS.WRITE && !mayWrite) return CODE.PERMISSION;
    answer.outcome = OUTCOME.TRANSLATED;
    answer.paHi = hi & ADDR.hi;
    answer.paLo = (lo & ADDR.lo) | (request.iovaLo & 0xfff);
    answer.pageSizeLg2 = 12;
    answer.permissions = permissionsOf(request, mayWrite);
    return CODE.NONE;
  }
}

function bypass(request: DmaRequest, answer: DmaAnswer): Code {
  answer.outcome = OUTCOME.BYPASS;
  answer.paHi = request.iovaHi;
  answer.paLo = request.iovaLo;
  answer.pageSizeLg2 = 64;
  answer.permissions = permissionsOf(request, true);
  return CODE.NONE;
}

/** A fetch counts as a read (manual 4); an answer only mentions execution to who asked for it. */
function permissionsOf(request: DmaRequest, mayWrite: boolean): number {
  const execute = request.access === ACCESS.EXECUTE ? PERMISSION.EXECUTE : 0;
  return PERMISSION.READ | (mayWrite ? PERMISSION.WRITE : 0) | execute;
}

function refuse(answer: DmaAnswer, reason: FaultReason, code: number): void {
  answer.outcome = OUTCOME.FAULT;
  answer.reason = reason;
  answer.code = code;
}
