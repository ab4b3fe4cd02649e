import { CD_BYTES, CD_LEAF_LG2, L1CD, L1CD_BYTES } from '../format/cd.ts';
import { CD_KIND, noCd } from './cd.ts';
import { cfgiCd } from './commands.ts';
import { EntryWriter, storeEntry, storeQword } from './entry-writer.ts';
import type { Smmu } from './smmu.ts';

/** How an STE refers to a CD table. */
export interface CdTableRef {
  readonly pa: number;
  /** STE.S1Fmt. */
  readonly format: number;
  /** STE.S1CDMax. */
  readonly maxLg2: number;
}

const LINEAR = 0;
const TWO_LEVEL_64K = 2;
const LEAF_LG2 = CD_LEAF_LG2[TWO_LEVEL_64K];

/**
 * The context descriptors of one device. A device with PASIDs has a table: linear up to 1024 CDs, else two levels with
 * leaves of 64 KiB, allocated when used. A device without has room for two single CDs: a new one is written where
 * nobody reads and the STE's pointer moves over, so that replacing a domain is one 64-bit write.
 */
export class ContextTable {
  private readonly smmu: Smmu;
  private readonly sids: readonly number[];
  private readonly ssidBits: number;
  private readonly format: number;
  private readonly base: number;
  private readonly leaves = new Map<number, number>();
  private readonly writer: EntryWriter;
  private slot = 0;

  /** SubstreamIDs that a unit and a device can use together. */
  static usableBits(ssidBits: number, twoLevel: boolean): number {
    return twoLevel ? ssidBits : Math.min(ssidBits, LEAF_LG2);
  }

  /** Throws IommuError ENOMEM. */
  constructor(smmu: Smmu, sids: readonly number[], ssidBits: number) {
    this.smmu = smmu;
    this.sids = sids;
    this.ssidBits = ssidBits;
    this.format = ssidBits > LEAF_LG2 ? TWO_LEVEL_64K : LINEAR;
    this.writer = new EntryWriter(smmu.ports.memory, CD_KIND);
    this.base = smmu.ports.pages.alloc(this.bytes());
  }

  get ref(): CdTableRef {
    const pa = this.base + (this.ssidBits === 0 ? this.slot * CD_BYTES : 0);
    return { pa, format: this.format, maxLg2: this.ssidBits };
  }

  /** Puts the CD of requests without a PASID in place; the STE must then be written with the reference returned. */
  stage(cd: Uint32Array): CdTableRef {
    if (this.ssidBits > 0) {
      this.write(0, cd);
    } else {
      this.slot ^= 1;
      storeEntry(this.smmu.ports.memory, this.ref.pa, cd);
    }
    return this.ref;
  }

  /** Takes the CD of requests without a PASID away; the STE does not use it any more. */
  unstage(): void {
    if (this.ssidBits > 0) this.write(0, noCd());
  }

  /** Makes sure that {@link write} needs no memory. Throws IommuError ENOMEM. */
  reserve(ssid: number): void {
    if (this.format !== TWO_LEVEL_64K || this.leaves.has(ssid >>> LEAF_LG2)) return;
    const { ports, queue } = this.smmu;
    const index = ssid >>> LEAF_LG2;
    const leaf = ports.pages.alloc(CD_BYTES << LEAF_LG2);
    this.leaves.set(index, leaf);
    const [lo, hi] = L1CD.encode({ V: true, L2Ptr: BigInt(leaf) });
    storeQword(ports.memory, this.base + index * L1CD_BYTES, lo!, hi!);
    for (const sid of this.sids) cfgiCd(queue, sid, ssid, false);
    queue.sync();
  }

  /** Writes one CD while hardware may be reading it. */
  write(ssid: number, cd: Uint32Array): void {
    this.reserve(ssid);
    const { queue } = this.smmu;
    this.writer.write(this.addressOf(ssid), cd, () => {
      for (const sid of this.sids) cfgiCd(queue, sid, ssid, true);
      queue.sync();
    });
  }

  /** No STE refers to the table any more. */
  free(): void {
    for (const leaf of this.leaves.values()) this.smmu.ports.pages.free(leaf);
    this.smmu.ports.pages.free(this.base);
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
