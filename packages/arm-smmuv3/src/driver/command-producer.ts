import { type DriverPorts, IommuError } from '@iommukit/core';
import { CMD_SYNC, COMMAND_BYTES } from '../format/commands.ts';
import { CERROR, CMDQ_CONS, GERROR, QUEUE_BASE, REGISTERS } from '../format/registers.ts';
import { BATCH } from './features.ts';
import { POLL_LIMIT } from './poll.ts';

const PROD = REGISTERS.CMDQ_PROD.at;
const CONS = REGISTERS.CMDQ_CONS.at;
const CMDQ_ERR = 1 << GERROR.fields.CMDQ_ERR.lsb;
const ERR_SHIFT = CMDQ_CONS.fields.ERR.lsb;
const ERR_MASK = 0x7f;
/** A SYNC that signals nobody: the driver watches CONS. */
const SYNC = CMD_SYNC.encode({ Opcode: 0x46, CS: 0 });
/** Fetch aborts of the same slot in a row after which the queue counts as dead. */
const ABORT_LIMIT = 8;

/**
 * The command queue, IHI 0070 3.5 and 4. Commands are batched: every {@link BATCH} the producer index is published
 * without a SYNC, and only {@link sync} waits. Indices are counted with the wrap bit on top.
 */
export class CommandProducer {
  readonly base: number;
  readonly lg2: number;
  /** Index of the first command since {@link watch} that was CERROR_ILL; -1 = none. */
  private illegalAt = -1;
  private watchFrom = 0;
  private readonly ports: DriverPorts;
  private readonly mask: number;
  private readonly wrapMask: number;
  /** Commands ever written, published and seen consumed. Totals: an interrupt handler may use the queue during a wait. */
  private issued = 0;
  private published = 0;
  private consumed = 0;
  private aborts = 0;

  /** Allocates the ring. Throws IommuError ENOMEM. */
  constructor(ports: DriverPorts, lg2: number) {
    this.ports = ports;
    this.lg2 = lg2;
    this.mask = 2 ** lg2 - 1;
    this.wrapMask = 2 ** (lg2 + 1) - 1;
    this.base = ports.pages.alloc(2 ** lg2 * COMMAND_BYTES);
  }

  /** Base and indices into the registers; CMDQEN must be off. */
  program(): void {
    const { mmio } = this.ports;
    const [lo, hi] = QUEUE_BASE.encode({ LOG2SIZE: this.lg2, ADDR: BigInt(this.base), RA_WA: true });
    mmio.write64(REGISTERS.CMDQ_BASE.at, (BigInt(hi!) << 32n) | BigInt(lo!));
    mmio.write32(PROD, this.indexOf(this.issued));
    mmio.write32(CONS, this.indexOf(this.issued));
  }

  free(): void {
    this.ports.pages.free(this.base);
  }

  /** One command, as four little-endian words. Waits while the ring is full. Throws IommuError ETIMEDOUT. */
  push(w0: number, w1: number, w2: number, w3: number): void {
    while (this.issued - this.consumed > this.mask) {
      this.publish();
      this.wait(this.issued - this.mask);
    }
    this.store(this.indexOf(this.issued) & this.mask, w0, w1, w2, w3);
    this.issued++;
    if (this.issued - this.published >= BATCH) this.publish();
  }

  /** The same from an encoded command. */
  pushWords(words: ArrayLike<number>): void {
    this.push(words[0]! | 0, words[1]! | 0, words[2]! | 0, words[3]! | 0);
  }

  /** Hands the batch over without waiting, for commands that take effect by themselves (RESUME). */
  publish(): void {
    if (this.published === this.issued) return;
    this.published = this.issued;
    this.ports.mmio.write32(PROD, this.indexOf(this.issued));
  }

  /** Ends the batch with a SYNC and waits until it was consumed: all commands before it are complete then. */
  sync(): void {
    this.pushWords(SYNC);
    const target = this.issued;
    this.publish();
    this.wait(target);
  }

  /** Starts counting: {@link illegal} then tells how many commands from here on came before the first illegal one. */
  watch(): void {
    this.illegalAt = -1;
    this.watchFrom = this.issued;
  }

  /** Index of the first command since {@link watch} that the SMMU refused, or -1. */
  get illegal(): number {
    if (this.illegalAt < 0) return -1;
    const after = (this.illegalAt - this.indexOf(this.watchFrom)) & this.wrapMask;
    return after <= this.mask ? after : -1;
  }

  /**
   * Gets a stopped queue going again (IHI 0070 7.1): an illegal command becomes a SYNC, an aborted fetch and an ATC
   * timeout are tried again. Acknowledging makes the SMMU fetch from memory anew. Nothing to do: does nothing.
   */
  recover(): void {
    const { mmio } = this.ports;
    const gerror = mmio.read32(REGISTERS.GERROR.at);
    const gerrorn = mmio.read32(REGISTERS.GERRORN.at);
    if (((gerror ^ gerrorn) & CMDQ_ERR) === 0) return;
    const cons = mmio.read32(CONS);
    const code = (cons >>> ERR_SHIFT) & ERR_MASK;
    const index = cons & this.wrapMask;
    if (code === CERROR.ILL) this.replaceBySync(index);
    if (code === CERROR.ABT && ++this.aborts > ABORT_LIMIT)
      throw new IommuError('ETIMEDOUT', 'the SMMU cannot read its command queue');
    mmio.write32(REGISTERS.GERRORN.at, (gerrorn ^ CMDQ_ERR) >>> 0);
  }

  private replaceBySync(index: number): void {
    if (this.illegalAt < 0) this.illegalAt = index;
    this.store(index & this.mask, SYNC[0]!, SYNC[1]!, SYNC[2]!, SYNC[3]!);
  }

  /** The ring's index of a total: the wrap bit stands above the slot number. */
  private indexOf(total: number): number {
    return total % (this.wrapMask + 1);
  }

  /** Polls CONS until `target` commands are consumed, repairing errors; the limit counts turns without any progress. */
  private wait(target: number): void {
    const { mmio, time } = this.ports;
    for (let idle = 0; idle < POLL_LIMIT; idle++) {
      const seen = mmio.read32(CONS);
      const progress = (seen - this.indexOf(this.consumed)) & this.wrapMask;
      if (progress > 0 && progress <= this.published - this.consumed) {
        this.consumed += progress;
        this.aborts = 0;
        idle = 0;
      }
      if (this.consumed >= target) return;
      if (((seen >>> ERR_SHIFT) & ERR_MASK) !== CERROR.NONE) this.recover();
      time.relax();
    }
    throw new IommuError('ETIMEDOUT', 'the SMMU consumes no commands');
  }

  private store(slot: number, w0: number, w1: number, w2: number, w3: number): void {
    const { memory } = this.ports;
    const at = this.base + slot * COMMAND_BYTES;
    const hi = Math.floor(at / 2 ** 32) | 0;
    const lo = at | 0;
    const ok = memory.write64(hi, lo, w1 | 0, w0 | 0) && memory.write64(hi, (lo + 8) | 0, w3 | 0, w2 | 0);
    if (!ok) throw new IommuError('EIO', 'the command queue lies in memory that aborts');
  }
}
