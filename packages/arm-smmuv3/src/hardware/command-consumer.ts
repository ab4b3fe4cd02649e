import { wordsToBytes } from '@iommukit/bits';
import { CMD_CFGI_STE, COMMAND_BYTES, HAS_SSEC, OPCODE } from '../format/commands.ts';
import { CERROR, CMDQ_CONS, CR0, REGISTERS } from '../format/registers.ts';
import type { Command } from './command-set.ts';
import { GLOBAL_ERROR, type Interrupts } from './interrupts.ts';
import { queueBase, queueLg2 } from './queue.ts';
import type { UnitState } from './unit.ts';

const CR0ACK = REGISTERS.CR0ACK.at / 4;
const BASE = REGISTERS.CMDQ_BASE.at / 4;
const PROD = REGISTERS.CMDQ_PROD.at / 4;
const CONS = REGISTERS.CMDQ_CONS.at / 4;
const CMDQEN = 1 << CR0.fields.CMDQEN.lsb;
const SSEC = 1 << CMD_CFGI_STE.fields.SSec.lsb;
const ERR_SHIFT = CMDQ_CONS.fields.ERR.lsb;
const ERR_MASK = 0x7f << ERR_SHIFT;
const COMMAND_WORDS = COMMAND_BYTES / 4;
/** Invalidations that may wait for their CMD_SYNC. */
const PENDING = 256;

/**
 * The command queue: IHI 0070 3.5 and 4. Consumption proves nothing but that a slot is free; so invalidations are
 * held back until the CMD_SYNC that must make them visible (or until too many wait), and a driver that forgets it
 * meets stale entries.
 */
export class CommandConsumer {
  private readonly unit: UnitState;
  private readonly interrupts: Interrupts;
  private readonly commands: readonly (Command | undefined)[];
  private readonly words = new Int32Array(COMMAND_WORDS);
  private readonly held = new Int32Array(COMMAND_WORDS);
  private readonly base = new Int32Array(2);
  private readonly pending = new Int32Array(PENDING * COMMAND_WORDS);
  private waiting = 0;

  constructor(unit: UnitState, interrupts: Interrupts, commands: readonly (Command | undefined)[]) {
    this.unit = unit;
    this.interrupts = interrupts;
    this.commands = commands;
  }

  /** Invalidations consumed and not yet carried out are forgotten: for a reset. */
  reset(): void {
    this.waiting = 0;
  }

  /** Takes what is in the queue, up to an error. */
  consume(): void {
    const { registers, features } = this.unit;
    const lg2 = queueLg2(registers[BASE]!, features.cmdqLg2);
    const wrapMask = (2 << lg2) - 1;
    queueBase(registers, BASE, lg2, COMMAND_BYTES, this.base);
    for (let left = 1 << lg2; left > 0 && this.ready(lg2, wrapMask); left--) {
      const code = this.step(registers[CONS]! & ((1 << lg2) - 1));
      if (code !== CERROR.NONE) {
        this.fail(code);
        return;
      }
      registers[CONS] = (registers[CONS]! & ERR_MASK) | ((registers[CONS]! + 1) & wrapMask);
    }
  }

  /** Enabled, without error, and holding commands by indices that make sense. */
  private ready(lg2: number, wrapMask: number): boolean {
    const { registers } = this.unit;
    if ((registers[CR0ACK]! & CMDQEN) === 0 || this.interrupts.active(GLOBAL_ERROR.CMDQ)) return false;
    const count = (registers[PROD]! - registers[CONS]!) & wrapMask;
    return count !== 0 && count <= 1 << lg2;
  }

  private step(index: number): number {
    const lo = this.base[0]! | (index * COMMAND_BYTES);
    if (!this.unit.readWords(this.base[1]!, lo, this.words)) return CERROR.ABT;
    if (this.unit.probe?.command) this.unit.probe.command('command', wordsToBytes(this.words));
    return this.execute();
  }

  private execute(): number {
    const { words } = this;
    const opcode = words[0]! & 0xff;
    const command = this.commands[opcode];
    if (command === undefined || !command.legal(words, this.unit.features)) return CERROR.ILL;
    if ((words[0]! & SSEC) !== 0 && HAS_SSEC.has(opcode)) return CERROR.ILL;
    if (opcode === OPCODE.SYNC) this.flush();
    if (command.atOnce) command.run(words);
    else this.hold();
    return CERROR.NONE;
  }

  private hold(): void {
    if (this.waiting === PENDING) this.flush();
    this.pending.set(this.words, this.waiting * COMMAND_WORDS);
    this.waiting++;
  }

  /** Carries out everything held back. */
  private flush(): void {
    const { held } = this;
    for (let i = 0; i < this.waiting; i++) {
      for (let j = 0; j < COMMAND_WORDS; j++) held[j] = this.pending[i * COMMAND_WORDS + j]!;
      this.commands[held[0]! & 0xff]!.run(held);
    }
    this.waiting = 0;
  }

  private fail(code: number): void {
    const { registers } = this.unit;
    registers[CONS] = (registers[CONS]! & ~ERR_MASK) | (code << ERR_SHIFT);
    this.interrupts.raise(GLOBAL_ERROR.CMDQ);
  }
}
