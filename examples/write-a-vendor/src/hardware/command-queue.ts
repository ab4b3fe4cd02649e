import { reader64, wordsToBytes } from '@iommukit/bits';
import type { HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { COMMAND_INDEX, CTRL_EN, REGISTERS, STATUS_CQERR } from '../format/registers.ts';
import { INV_DEVICE, INV_ROOT, OP } from '../format/structures.ts';
import type { EntryCache } from './cache.ts';
import { fieldMask, reservedMask, wordOf } from './masks.ts';

const opOf = reader64(INV_DEVICE.fields.OP);
const deviceOf = reader64(INV_DEVICE.fields.DEVICE);
const ROOT = fieldMask(INV_ROOT.fields.ROOT);
const DEVICE_RESERVED = reservedMask(INV_DEVICE);
const ROOT_RESERVED = reservedMask(INV_ROOT);
const CTRL = wordOf(REGISTERS.CTRL);
const BASE = wordOf(REGISTERS.CQBASE);
const TAIL = wordOf(REGISTERS.CQTAIL);
const HEAD = wordOf(REGISTERS.CQHEAD);
const STATUS = wordOf(REGISTERS.STATUS);

/** Takes commands from CQHEAD to CQTAIL; stops at the first it cannot read or does not know (manual 5). */
export class CommandQueue {
  probe: HardwareProbe | null = null;
  readonly #words: Int32Array;
  readonly #memory: PhysicalMemory;
  readonly #entries: EntryCache;
  readonly #leaves: EntryCache;

  constructor(words: Int32Array, memory: PhysicalMemory, entries: EntryCache, leaves: EntryCache) {
    this.#words = words;
    this.#memory = memory;
    this.#entries = entries;
    this.#leaves = leaves;
  }

  /** Ends: both indices are inside the ring, and the head moves towards the tail. */
  process(): void {
    const words = this.#words;
    if ((words[CTRL]! & CTRL_EN) === 0) return;
    while ((words[STATUS]! & STATUS_CQERR) === 0 && words[HEAD] !== words[TAIL]) {
      if (this.#take(words[HEAD]!)) words[HEAD] = (words[HEAD]! + 1) & COMMAND_INDEX;
      else words[STATUS]! |= STATUS_CQERR;
    }
  }

  #take(index: number): boolean {
    const memory = this.#memory;
    if (!memory.read64(this.#words[BASE + 1]!, this.#words[BASE]! | (index << 3))) return false;
    const { lo, hi } = memory;
    if (this.probe !== null) this.probe.command?.('command', wordsToBytes([lo, hi]));
    const op = opOf(lo, hi);
    if (op === OP.INV_DEVICE) return this.#forgetDevice(hi, lo);
    return op === OP.INV_ROOT && this.#forgetRoot(hi, lo);
  }

  #forgetDevice(hi: number, lo: number): boolean {
    if (((lo & DEVICE_RESERVED.lo) | (hi & DEVICE_RESERVED.hi)) !== 0) return false;
    this.#entries.drop(0, 0, deviceOf(lo, hi));
    return true;
  }

  #forgetRoot(hi: number, lo: number): boolean {
    if (((lo & ROOT_RESERVED.lo) | (hi & ROOT_RESERVED.hi)) !== 0) return false;
    this.#leaves.dropTag(hi & ROOT.hi, lo & ROOT.lo);
    return true;
  }
}
