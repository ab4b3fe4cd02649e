import { type DriverPorts, IommuError, isIommuError, type PhysicalMemory } from '@iommukit/core';
import { CD_BYTES, CD_LEAF_LG2, L1CD, L1CD_BYTES } from '../format/cd.ts';
import { CD_KIND, noCd } from './cd.ts';
import type { CommandProducer } from './command-producer.ts';
import { cfgiCd } from './commands.ts';
import { EntryWriter, putBackEntry, readEntry, storeEntry, storeQword } from './entry-writer.ts';

/** How an STE refers to a CD table. */
export interface CdTableRef {
  readonly pa: number;
  /** STE.S1Fmt. */
  readonly format: number;
  /** STE.S1CDMax. */
  readonly maxLg2: number;
}

/** What {@link ContextTable.putBack} goes back to. */
export interface CdTableMark {
  readonly base: number;
  readonly leaf: number | null;
  readonly slot: number;
  readonly staged: boolean;
  /** The CD of requests without a PASID, where it can be changed in place. */
  readonly cd: Uint32Array;
}

const LINEAR = 0;
const TWO_LEVEL_64K = 2;
const LEAF_LG2 = CD_LEAF_LG2[TWO_LEVEL_64K];

/**
 * The context descriptors of one device. A device with PASIDs has a table: linear up to 1024 CDs, else two levels with
 * leaves of 64 KiB, allocated when used. A device without has room for two single CDs.
 *
 * ASID and table pointer lie in different words of a CD, so a live one cannot go from one address space to another in
 * a single write. The STE's pointer can: the new CD of the device's own requests is written where nobody reads (the other
 * slot, or a copy of the table), and writing the STE moves over to it.
 */
export class ContextTable {
  private readonly ports: DriverPorts;
  private readonly queue: CommandProducer;
  private readonly sids: readonly number[];
  private readonly ssidBits: number;
  private readonly format: number;
  private base: number;
  /** Tables that the STE has left, or is about to leave. */
  private retired: number[] = [];
  private staged = false;
  private readonly leaves = new Map<number, number>();
  private readonly writer: EntryWriter;
  private slot = 0;

  /** SubstreamIDs that a unit and a device can use together. */
  static usableBits(ssidBits: number, twoLevel: boolean): number {
    return twoLevel ? ssidBits : Math.min(ssidBits, LEAF_LG2);
  }

  /** Throws IommuError ENOMEM. */
  constructor(ports: DriverPorts, queue: CommandProducer, sids: readonly number[], ssidBits: number) {
    this.ports = ports;
    this.queue = queue;
    this.sids = sids;
    this.ssidBits = ssidBits;
    this.format = ssidBits > LEAF_LG2 ? TWO_LEVEL_64K : LINEAR;
    this.writer = new EntryWriter(ports.memory, CD_KIND);
    this.base = ports.pages.alloc(this.bytes());
  }

  get ref(): CdTableRef {
    const pa = this.base + (this.ssidBits === 0 ? this.slot * CD_BYTES : 0);
    return { pa, format: this.format, maxLg2: this.ssidBits };
  }

  /**
   * Puts the CD of requests without a PASID in place. The STE must then be written with the reference returned, and
   * {@link settle} called. Going back to a former domain must never fail, so without memory for a copy the live CD is
   * changed where it is, and requests are refused meanwhile.
   */
  stage(cd: Uint32Array): CdTableRef {
    if (this.ssidBits === 0) {
      this.slot ^= 1;
      storeEntry(this.ports.memory, this.ref.pa, cd);
    } else if (!this.staged || !this.moveWith(cd)) this.write(0, cd);
    this.staged = true;
    return this.ref;
  }

  /** The STE points at the table as it is now: what it pointed at before can go. */
  settle(): void {
    for (const pa of this.retired.splice(0)) this.ports.pages.free(pa);
  }

  /** Takes the CD of requests without a PASID away; the STE does not use it any more. */
  unstage(): void {
    if (this.ssidBits > 0) this.write(0, noCd());
    this.staged = false;
  }

  /** Where the table stands, for {@link putBack}. */
  mark(): CdTableMark {
    const { base, slot, staged } = this;
    const leaf = this.leaves.get(0) ?? null;
    const shared = this.ssidBits > 0 && (this.format === LINEAR || leaf !== null);
    return { base, leaf, slot, staged, cd: shared ? this.read(0) : noCd() };
  }

  /**
   * Undoes a {@link stage} that no STE refers to any more. A copy may still be read by a unit that was not told so: it
   * goes when the next {@link settle} says that it was.
   */
  putBack({ base, leaf, slot, staged, cd }: CdTableMark): void {
    const moved = this.base !== base;
    const used = [base, leaf];
    const now = [this.base, this.leaves.get(0) ?? null];
    this.base = base;
    this.slot = slot;
    this.staged = staged;
    if (moved) {
      if (leaf !== null) this.leaves.set(0, leaf);
      this.retired = [...this.retired, ...now].filter((pa): pa is number => pa !== null && !used.includes(pa));
    } else if (this.ssidBits > 0 && (this.format === LINEAR || now[1] !== null)) this.putBackCd(0, cd);
  }

  /** One CD as it stands. */
  read(ssid: number): Uint32Array {
    const cd = new Uint32Array(CD_BYTES / 4);
    readEntry(this.ports.memory, this.addressOf(ssid), cd);
    return cd;
  }

  /** Puts one CD back and tells the SMMU, which may not be answering; waits for nothing. */
  putBackCd(ssid: number, cd: Uint32Array): void {
    if (!putBackEntry(this.ports.memory, this.addressOf(ssid), cd)) return;
    for (const sid of this.sids) cfgiCd(this.queue, sid, ssid, true);
    this.queue.publish();
  }

  /** Makes sure that {@link write} needs no memory. Throws IommuError ENOMEM. */
  reserve(ssid: number): void {
    if (this.format !== TWO_LEVEL_64K || this.leaves.has(ssid >>> LEAF_LG2)) return;
    const { ports, queue } = this;
    const index = ssid >>> LEAF_LG2;
    const leaf = ports.pages.alloc(CD_BYTES << LEAF_LG2);
    this.leaves.set(index, leaf);
    storeL1(ports.memory, this.base + index * L1CD_BYTES, leaf);
    for (const sid of this.sids) cfgiCd(queue, sid, ssid, false);
    queue.sync();
  }

  /** Writes one CD while hardware may be reading it. */
  write(ssid: number, cd: Uint32Array): void {
    this.reserve(ssid);
    const { queue } = this;
    this.writer.write(this.addressOf(ssid), cd, () => {
      for (const sid of this.sids) cfgiCd(queue, sid, ssid, true);
      queue.sync();
    });
  }

  /** No STE refers to the table any more. */
  free(): void {
    this.settle();
    for (const leaf of this.leaves.values()) this.ports.pages.free(leaf);
    this.ports.pages.free(this.base);
  }

  /** Goes over to a copy of the table (of its first leaf, where there are two levels) with another CD 0. */
  private moveWith(cd: Uint32Array): boolean {
    const { leaves } = this;
    const { memory } = this.ports;
    const [base, leaf] = this.allocCopy();
    if (base === null) return false;
    copyQwords(memory, this.base, base, this.bytes());
    if (leaf !== null) {
      copyQwords(memory, leaves.get(0)!, leaf, CD_BYTES << LEAF_LG2);
      storeL1(memory, base, leaf);
      this.retired.push(leaves.get(0)!);
      leaves.set(0, leaf);
    }
    this.retired.push(this.base);
    this.base = base;
    storeEntry(memory, this.addressOf(0), cd);
    return true;
  }

  /** Room for another table and, with two levels, another first leaf; `[null, null]` when there is none. */
  private allocCopy(): [base: number, leaf: number | null] | [null, null] {
    const { pages } = this.ports;
    let base: number | null = null;
    try {
      base = pages.alloc(this.bytes());
      return [base, this.format === TWO_LEVEL_64K ? pages.alloc(CD_BYTES << LEAF_LG2) : null];
    } catch (error) {
      if (base !== null) pages.free(base);
      if (isIommuError(error) && error.errno === 'ENOMEM') return [null, null];
      throw error;
    }
  }

  private bytes(): number {
    if (this.ssidBits === 0) return 2 * CD_BYTES;
    return this.format === LINEAR ? CD_BYTES << this.ssidBits : L1CD_BYTES << (this.ssidBits - LEAF_LG2);
  }

  private addressOf(ssid: number): number {
    if (this.format === LINEAR) return this.base + ssid * CD_BYTES;
    return this.leaves.get(ssid >>> LEAF_LG2)! + (ssid & (2 ** LEAF_LG2 - 1)) * CD_BYTES;
  }
}

function storeL1(memory: PhysicalMemory, at: number, leaf: number): void {
  const [lo, hi] = L1CD.encode({ V: true, L2Ptr: BigInt(leaf) });
  storeQword(memory, at, lo!, hi!);
}

function copyQwords(memory: PhysicalMemory, from: number, to: number, bytes: number): void {
  for (let offset = 0; offset < bytes; offset += 8) {
    const at = from + offset;
    if (!memory.read64(Math.floor(at / 2 ** 32) | 0, at | 0)) throw new IommuError('EIO', 'a CD table cannot be read');
    storeQword(memory, to + offset, memory.lo, memory.hi);
  }
}
