import { maskOf } from '@iommukit/bits';
import { type DriverPorts, IommuError } from '@iommukit/core';
import { FSTS, IQA, IQERCD, REGISTERS } from '../format/index.ts';
import { hiHalf, loHalf } from './address.ts';
import { DESCRIPTOR_WORDS, WAIT_DONE, WAIT_FENCE, WAIT_STATUS } from './descriptors.ts';
import { POLL_LIMIT, pollUntil } from './poll.ts';

const ENTRIES = 256;
const STATUS_BYTES = ENTRIES * 4;
/** Turns between two looks at the fault status while a submission is awaited. */
const STATUS_EVERY = 8;
/** Times a submission is repeated when device-TLB time-outs keep aborting its wait. */
const RETRIES = 3;

const FSTS_AT = REGISTERS.FSTS.at;
const IQT_AT = REGISTERS.IQT.at;
const IQE = Number(maskOf(FSTS.fields.IQE));
const ITE = Number(maskOf(FSTS.fields.ITE));

/**
 * The invalidation queue, VT-d 6.5.2: 256 entries, 128-bit ones in legacy mode and 256-bit ones in scalable mode. Each
 * submission ends with a wait descriptor that writes a status word of its own; the submitter polls that word.
 */
export class InvalidationQueue {
  private readonly ports: DriverPorts;
  private readonly entryLg2: number;
  private readonly ring: number;
  private readonly ringHi: number;
  private readonly ringLo: number;
  private readonly status: number;
  private readonly statusHi: number;
  private readonly statusLo: number;
  private tail = 0;
  /** A submission was given up; the unit may still hold descriptors. */
  private behind = false;
  /** Why the unit refused a descriptor of the submission in progress. */
  private refusal = '';

  /** Allocates the ring and the status words. Throws ENOMEM. */
  constructor(ports: DriverPorts, wide: boolean) {
    this.ports = ports;
    this.entryLg2 = wide ? 5 : 4;
    this.ring = ports.pages.alloc(ENTRIES << this.entryLg2);
    try {
      this.status = ports.pages.alloc(STATUS_BYTES);
    } catch (error) {
      ports.pages.free(this.ring);
      throw error;
    }
    this.ringHi = hiHalf(this.ring);
    this.ringLo = loHalf(this.ring);
    this.statusHi = hiHalf(this.status);
    this.statusLo = loHalf(this.status);
  }

  /** Points the unit at the ring; it fetches only after GCMD.QIE. */
  program(): void {
    const { mmio } = this.ports;
    const wide = this.entryLg2 === 5;
    const [lo, hi] = IQA.encode({ QS: wide ? 1 : 0, DW: wide, IQA: BigInt(this.ring) });
    mmio.write64(IQT_AT, 0n);
    mmio.write64(REGISTERS.IQA.at, (BigInt(hi!) << 32n) | BigInt(lo!));
    this.tail = 0;
    this.behind = false;
  }

  /** Waits until nothing is left to fetch, as disabling the queue demands. ETIMEDOUT. */
  drain(): void {
    pollUntil(this.ports.time, 'the invalidation queue', () => this.head() === this.tail);
  }

  free(): void {
    this.ports.pages.free(this.ring);
    this.ports.pages.free(this.status);
  }

  /**
   * Carries out `count` descriptors and waits for them. A descriptor the unit refuses is replaced by a barrier, the rest
   * is carried out, and the call throws EINVAL. ETIMEDOUT when the unit does not answer, EIO when it stopped elsewhere.
   */
  submit(words: Int32Array, count: number): void {
    if (this.behind) this.catchUp();
    for (let attempt = 0; attempt <= RETRIES; attempt++) {
      const first = this.tail;
      const wait = this.post(words, count);
      this.ports.mmio.write32(IQT_AT, this.tail << this.entryLg2);
      if (this.await(first, wait)) return;
    }
    throw new IommuError('ETIMEDOUT', 'device-TLB invalidations keep timing out');
  }

  /** Writes the descriptors and their wait at the tail; returns the wait's slot. */
  private post(words: Int32Array, count: number): number {
    let slot = this.tail;
    for (let i = 0; i < count; i++) {
      const at = i * DESCRIPTOR_WORDS;
      this.write(slot, words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
      slot = (slot + 1) % ENTRIES;
    }
    const statusLo = this.statusLo + slot * 4;
    this.ports.memory.write32(this.statusHi, statusLo, 0);
    this.write(slot, WAIT_STATUS[0]!, WAIT_STATUS[1]!, statusLo, this.statusHi);
    this.tail = (slot + 1) % ENTRIES;
    return slot;
  }

  private write(slot: number, word0: number, word1: number, word2: number, word3: number): void {
    const { memory } = this.ports;
    const lo = this.ringLo + (slot << this.entryLg2);
    let written = memory.write64(this.ringHi, lo, word1 | 0, word0 | 0);
    written = memory.write64(this.ringHi, lo + 8, word3 | 0, word2 | 0) && written;
    if (this.entryLg2 === 5) {
      written = memory.write64(this.ringHi, lo + 16, 0, 0) && written;
      written = memory.write64(this.ringHi, lo + 24, 0, 0) && written;
    }
    if (!written) throw new IommuError('EIO', 'the invalidation queue cannot be written');
  }

  /** True when the wait in slot `wait` completed, false when a device-TLB time-out aborted it. */
  private await(first: number, wait: number): boolean {
    const { memory, time } = this.ports;
    const lo = this.statusLo + wait * 4;
    this.refusal = '';
    for (let turn = 1; turn <= POLL_LIMIT; turn++) {
      if (memory.read32(this.statusHi, lo) && memory.lo === WAIT_DONE) {
        if (this.refusal === '') return true;
        throw new IommuError('EINVAL', `the unit refused an invalidation descriptor (${this.refusal})`);
      }
      if (turn % STATUS_EVERY === 0 && this.aborted(first, wait)) return false;
      time.relax();
    }
    this.behind = true;
    throw new IommuError('ETIMEDOUT', 'the invalidation queue does not answer');
  }

  /** Looks at the queue's error bits and gets the unit going again. */
  private aborted(first: number, wait: number): boolean {
    const { mmio } = this.ports;
    const status = mmio.read32(FSTS_AT);
    if ((status & IQE) !== 0) this.replaceRefused(first, wait);
    if ((status & ITE) === 0) return false;
    mmio.write32(FSTS_AT, ITE);
    return true;
  }

  /** The head stands on the refused descriptor; a barrier takes its place and clearing IQE makes the unit fetch it. */
  private replaceRefused(first: number, wait: number): void {
    const { mmio } = this.ports;
    const code = Number(mmio.read64(REGISTERS.IQERCD.at) & 0xfn);
    this.refusal = IQERCD.fields.IQEI.names[code] ?? `IQEI ${code}`;
    const head = this.head();
    const ours = (head - first + ENTRIES) % ENTRIES < (wait - first + ENTRIES) % ENTRIES;
    if (!ours) {
      this.behind = true;
      throw new IommuError('EIO', `the invalidation queue stopped at slot ${head} (${this.refusal})`);
    }
    this.write(head, WAIT_FENCE[0]!, WAIT_FENCE[1]!, 0, 0);
    mmio.write32(FSTS_AT, IQE);
  }

  /** After a submission was given up: goes on only when the unit has emptied the queue meanwhile. */
  private catchUp(): void {
    if (this.head() !== this.tail) throw new IommuError('ETIMEDOUT', 'the invalidation queue does not answer');
    this.behind = false;
  }

  private head(): number {
    return this.ports.mmio.read32(REGISTERS.IQH.at) >>> this.entryLg2;
  }
}
