import { type DriverPorts, ensure } from '@iommukit/core';
import { REGISTERS, STRTAB_BASE, STRTAB_BASE_CFG } from '../format/registers.ts';
import { L1STD, L1STD_BYTES, STE_BYTES } from '../format/ste.ts';
import type { CommandProducer } from './command-producer.ts';
import { cfgiSte } from './commands.ts';
import { EntryWriter, putBackEntry, readEntry, storeEntry, storeQword } from './entry-writer.ts';
import type { Features } from './features.ts';
import { abortSte, STE_KIND } from './ste.ts';

const SPLIT = 8;
/** 2^17 level-1 descriptors are a megabyte: enough for 25 bits of StreamID. */
const L1_LG2_MAX = 17;
const FMT = { LINEAR: 0, TWO_LEVEL: 1 } as const;

/**
 * The stream table: two levels where the SMMU has more StreamIDs than one leaf holds and can do it, else linear. Every
 * entry starts out refusing its stream; leaves of 256 come when the first device in them does.
 */
export class StreamTable {
  /** StreamIDs below 2^lg2 have a place. */
  readonly lg2: number;
  private readonly ports: DriverPorts;
  private readonly queue: CommandProducer;
  private readonly base: number;
  private readonly twoLevel: boolean;
  private readonly leaves = new Map<number, number>();
  private readonly writer: EntryWriter;

  /** Throws IommuError ENOMEM. */
  constructor(ports: DriverPorts, { sidBits, twoLevelStreams }: Features, queue: CommandProducer) {
    this.ports = ports;
    this.queue = queue;
    this.twoLevel = twoLevelStreams && sidBits > SPLIT;
    this.lg2 = this.twoLevel ? Math.min(sidBits, L1_LG2_MAX + SPLIT) : sidBits;
    this.writer = new EntryWriter(ports.memory, STE_KIND);
    const bytes = this.twoLevel ? L1STD_BYTES * 2 ** (this.lg2 - SPLIT) : STE_BYTES * 2 ** this.lg2;
    this.base = ports.pages.alloc(bytes);
    if (!this.twoLevel) this.refuseAll(this.base, this.lg2);
  }

  /** Base and shape into the registers; SMMUEN must be off. */
  program(): void {
    const { mmio } = this.ports;
    const [lo, hi] = STRTAB_BASE.encode({ ADDR: BigInt(this.base), RA: true });
    const shape = this.twoLevel ? { SPLIT, FMT: FMT.TWO_LEVEL } : { FMT: FMT.LINEAR };
    mmio.write64(REGISTERS.STRTAB_BASE.at, (BigInt(hi!) << 32n) | BigInt(lo!));
    mmio.write32(REGISTERS.STRTAB_BASE_CFG.at, STRTAB_BASE_CFG.encode({ LOG2SIZE: this.lg2, ...shape })[0]!);
  }

  /** Gives a stream an entry, which refuses it. Throws IommuError EINVAL for an id without a place, ENOMEM. */
  admit(sid: number): void {
    ensure(Number.isInteger(sid) && sid >= 0 && sid < 2 ** this.lg2, 'EINVAL', `StreamID ${sid} is out of range`);
    const index = sid >>> SPLIT;
    if (!this.twoLevel || this.leaves.has(index)) return;
    const { ports, queue } = this;
    const leaf = ports.pages.alloc(STE_BYTES << SPLIT);
    this.refuseAll(leaf, SPLIT);
    this.leaves.set(index, leaf);
    const [lo, hi] = L1STD.encode({ Span: SPLIT + 1, L2Ptr: BigInt(leaf) });
    storeQword(ports.memory, this.base + index * L1STD_BYTES, lo!, hi!);
    // That the descriptor was empty may be remembered: Leaf = 0 makes the SMMU look again (IHI 0070 4.3.1).
    cfgiSte(queue, sid, false);
    queue.sync();
  }

  /** Writes the entry of an admitted stream while hardware may be reading it. */
  write(sid: number, ste: Uint32Array): void {
    const { queue } = this;
    this.writer.write(this.addressOf(sid), ste, () => {
      cfgiSte(queue, sid, true);
      queue.sync();
    });
  }

  /** The entry of an admitted stream as it stands. */
  read(sid: number): Uint32Array {
    const ste = new Uint32Array(STE_BYTES / 4);
    readEntry(this.ports.memory, this.addressOf(sid), ste);
    return ste;
  }

  /** Puts an entry back and tells the SMMU, which may not be answering; waits for nothing. */
  putBack(sid: number, ste: Uint32Array): void {
    if (!putBackEntry(this.ports.memory, this.addressOf(sid), ste)) return;
    cfgiSte(this.queue, sid, true);
    this.queue.publish();
  }

  free(): void {
    for (const leaf of this.leaves.values()) this.ports.pages.free(leaf);
    this.ports.pages.free(this.base);
  }

  private addressOf(sid: number): number {
    if (!this.twoLevel) return this.base + sid * STE_BYTES;
    return this.leaves.get(sid >>> SPLIT)! + (sid & (2 ** SPLIT - 1)) * STE_BYTES;
  }

  private refuseAll(base: number, lg2: number): void {
    const refuse = abortSte();
    for (let i = 0; i < 2 ** lg2; i++) storeEntry(this.ports.memory, base + i * STE_BYTES, refuse);
  }
}
