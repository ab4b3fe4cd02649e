import type { DmaRequest } from '@iommukit/core';
import { SetTable } from './set-table.ts';
import { maskHi, maskLo } from './span.ts';

/** Payload of an IOTLB slot. */
export const IOTLB_SLOT = {
  PA_HI: 0,
  PA_LO: 1,
  INFO: 2,
  DID: 3,
  /** The PASID that was used: the request's own or RID_PASID. */
  PASID: 4,
  /** Chain of slots whose domain and page fall together; each link is a slot plus one, 0 ends it. */
  NEXT: 5,
  BEFORE: 6,
} as const;

/** Bits of INFO. Bits 1:0 are PERMISSION; 15:8 log2 of the page; 23:16 the fault code a negative entry answers. */
export const INFO = {
  RIGHTS: 3,
  /** The result came through a first stage (alone or nested). */
  FIRST_STAGE: 4,
  PASS_THROUGH: 8,
  /** A write needs no flag update any more. */
  DIRTY: 16,
  FPD: 32,
  LEGACY: 64,
  NEGATIVE: 128,
  SIZE_SHIFT: 8,
  CODE_SHIFT: 16,
} as const;

const SLOT_LG2 = 3;
const BOUND_LG2 = 13;
const SIZES_LG2 = [12, 21, 30] as const;
const SIZE_SHIFT = 16;
const PRIVILEGED = 1 << 18;
const COUNTERS = 1024;
/** Page-selective invalidation probes up to this many pages; past it, it looks at every slot instead. */
const PROBES_LG2 = 9;

/** Index in {@link SIZES_LG2} of a page size. */
const sizeIndex = (lg2: number): number => (lg2 === 12 ? 0 : lg2 === 21 ? 1 : 2);

/**
 * Translations by source-id, PASID, privilege and page; invalidated by domain, PASID and address. The lookup never
 * sees the domain and the invalidation never sees the source-id, as the manual tags them (VT-d 6.2.1, 6.2.4).
 */
export class Iotlb {
  readonly table = new SetTable(SLOT_LG2, BOUND_LG2);
  private readonly perSize = new Int32Array(3);
  /** Live slots by the low bits of the domain, so that a flush of an absent domain costs nothing. */
  private readonly counts = new Int32Array(COUNTERS);
  private groups = new Int32Array(this.table.sets);
  private moves = 0;
  /** What came in since the last command, linked by NEXT; it joins its chain when the next command comes. */
  private waiting = 0;
  private firstStages = 0;

  get data(): Int32Array {
    return this.table.data;
  }

  /** `pasid` -1 for a request without one, which `privileged` 0 goes with. */
  lookup(sid: number, pasid: number, privileged: number, hi: number, lo: number): number {
    const { table } = this;
    const key = privileged === 0 ? sid : sid | PRIVILEGED;
    if (this.perSize[0] !== 0) {
      const at = table.find(key, pasid, hi, lo & -4096);
      if (at >= 0) return at;
    }
    if (this.perSize[1] !== 0) {
      const at = table.find(key | (1 << SIZE_SHIFT), pasid, hi, lo & -0x20_0000);
      if (at >= 0) return at;
    }
    return this.perSize[2] === 0 ? -1 : table.find(key | (2 << SIZE_SHIFT), pasid, hi, lo & -0x4000_0000);
  }

  /** For a page that {@link lookup} does not find. Returns the slot. `info` and `tagPasid` as {@link IOTLB_SLOT} says; the addresses may be any in their page. */
  add(request: DmaRequest, paHi: number, paLo: number, info: number, did: number, tagPasid: number): number {
    const { device, iovaHi: hi, iovaLo: lo } = request;
    const pasid = request.pasid >= 0 ? request.pasid : -1;
    const privileged = pasid >= 0 && request.privileged;
    const lg2 = (info >>> INFO.SIZE_SHIFT) & 0xff;
    const size = sizeIndex(lg2);
    const mask = maskLo(lg2);
    const key = (privileged ? device | PRIVILEGED : device) | (size << SIZE_SHIFT);
    const at = this.slot(key, pasid, hi, lo & mask);
    const data = this.table.data;
    data[at + IOTLB_SLOT.PA_HI] = paHi;
    data[at + IOTLB_SLOT.PA_LO] = paLo & mask;
    data[at + IOTLB_SLOT.INFO] = info;
    data[at + IOTLB_SLOT.DID] = did;
    data[at + IOTLB_SLOT.PASID] = tagPasid;
    this.perSize[size]!++;
    this.counts[did & (COUNTERS - 1)]!++;
    if ((info & INFO.FIRST_STAGE) !== 0) this.firstStages++;
    data[at + IOTLB_SLOT.NEXT] = this.waiting;
    this.waiting = at + 1;
    return at;
  }

  /** A slot for the key that is in no chain and no count. */
  private slot(key: number, pasid: number, hi: number, page: number): number {
    const { table } = this;
    let at = table.insert(key, pasid, hi, page);
    if (at < 0) {
      this.remove(table.victim(key, pasid, hi, page));
      at = table.insert(key, pasid, hi, page);
    }
    if (table.moves !== this.moves) this.relink(at);
    return at;
  }

  clear(): void {
    if (this.table.live === 0) return;
    this.waiting = 0;
    this.groups.fill(0);
    this.counts.fill(0);
    this.perSize.fill(0);
    this.firstStages = 0;
    this.table.clear();
  }

  /** Everything of a domain. */
  dropDomain(did: number): void {
    this.scan(did, -1, false, 64, 0, 0);
  }

  /** Everything of a domain and PASID, second-stage and pass-through entries included. */
  dropPasid(did: number, pasid: number): void {
    this.scan(did, pasid, false, 64, 0, 0);
  }

  /** First-stage and nested entries of a domain, whatever their address: a type-2 page flush drops them all. */
  dropFirstStages(did: number): void {
    if (this.firstStages !== 0) this.scan(did, -1, true, 64, 0, 0);
  }

  /**
   * Entries of a domain that overlap the 2^`rangeLg2` bytes around an address. With `pasid` ≥ 0 only first-stage and
   * nested entries of that PASID; else those of the second stage and pass-through too.
   */
  dropPages(did: number, pasid: number, rangeLg2: number, hi: number, lo: number): void {
    if (this.counts[did & (COUNTERS - 1)] === 0) return;
    this.settle();
    if (rangeLg2 - 12 > PROBES_LG2) this.scan(did, pasid, pasid >= 0, rangeLg2, hi, lo);
    else for (let size = 0; size < 3; size++) this.probePages(size, did, pasid, rangeLg2, hi, lo);
  }

  private probePages(size: number, did: number, pasid: number, rangeLg2: number, hi: number, lo: number): void {
    if (this.perSize[size] === 0) return;
    const lg2 = SIZES_LG2[size]!;
    const pages = rangeLg2 <= lg2 ? 1 : 1 << (rangeLg2 - lg2);
    let page = lo & maskLo(Math.max(rangeLg2, lg2));
    for (let i = 0; i < pages; i++) {
      this.dropGroup(size, did, pasid, hi, page);
      page = (page + (1 << lg2)) | 0;
    }
  }

  private dropGroup(size: number, did: number, pasid: number, hi: number, page: number): void {
    const { data, tags } = this.table;
    let link = this.groups[this.group(did, size, hi, page)]!;
    while (link !== 0) {
      const at = link - 1;
      link = data[at + IOTLB_SLOT.NEXT]!;
      const tag = this.table.tagOf(at);
      const samePage = tags[tag + 2] === hi && tags[tag + 3] === page && this.sizeOf(at) === size;
      if (!samePage || data[at + IOTLB_SLOT.DID] !== did) continue;
      if (pasid < 0 || this.isFirstStageOf(at, pasid)) this.remove(at);
    }
  }

  private isFirstStageOf(at: number, pasid: number): boolean {
    return this.data[at + IOTLB_SLOT.PASID] === pasid && (this.data[at + IOTLB_SLOT.INFO]! & INFO.FIRST_STAGE) !== 0;
  }

  private scan(did: number, pasid: number, firstStageOnly: boolean, rangeLg2: number, hi: number, lo: number): void {
    let left = this.counts[did & (COUNTERS - 1)]!;
    const { data, tags } = this.table;
    for (let at = 0; left > 0 && at < this.table.end; at += this.table.step) {
      if (!this.table.isLive(at) || data[at + IOTLB_SLOT.DID] !== did) continue;
      left--;
      if (firstStageOnly && (data[at + IOTLB_SLOT.INFO]! & INFO.FIRST_STAGE) === 0) continue;
      if (pasid >= 0 && data[at + IOTLB_SLOT.PASID] !== pasid) continue;
      const tag = this.table.tagOf(at);
      const wider = Math.max(rangeLg2, SIZES_LG2[this.sizeOf(at)]!);
      if (((tags[tag + 2]! ^ hi) & maskHi(wider)) === 0 && ((tags[tag + 3]! ^ lo) & maskLo(wider)) === 0)
        this.remove(at);
    }
  }

  private sizeOf(at: number): number {
    return (this.table.keyOf(at) >>> SIZE_SHIFT) & 3;
  }

  private group(did: number, size: number, hi: number, page: number): number {
    return this.table.set(did, size, hi, page);
  }

  private settle(): void {
    while (this.waiting !== 0) {
      const at = this.waiting - 1;
      this.waiting = this.data[at + IOTLB_SLOT.NEXT]!;
      this.join(at);
    }
  }

  private join(at: number): void {
    const { table } = this;
    const tag = table.tagOf(at);
    const did = table.data[at + IOTLB_SLOT.DID]!;
    this.link(at, this.group(did, this.sizeOf(at), table.tags[tag + 2]!, table.tags[tag + 3]!));
  }

  private link(at: number, group: number): void {
    const { groups } = this;
    const { data } = this.table;
    const next = groups[group]!;
    data[at + IOTLB_SLOT.NEXT] = next;
    data[at + IOTLB_SLOT.BEFORE] = 0;
    if (next !== 0) data[next - 1 + IOTLB_SLOT.BEFORE] = at + 1;
    groups[group] = at + 1;
  }

  /** Takes one slot out. */
  remove(at: number): void {
    this.settle();
    this.unlink(at);
    this.table.remove(at);
  }

  private unlink(at: number): void {
    const { data, tags } = this.table;
    const next = data[at + IOTLB_SLOT.NEXT]!;
    const before = data[at + IOTLB_SLOT.BEFORE]!;
    const did = data[at + IOTLB_SLOT.DID]!;
    const size = this.sizeOf(at);
    const tag = this.table.tagOf(at);
    if (before === 0) this.groups[this.group(did, size, tags[tag + 2]!, tags[tag + 3]!)] = next;
    else data[before - 1 + IOTLB_SLOT.NEXT] = next;
    if (next !== 0) data[next - 1 + IOTLB_SLOT.BEFORE] = before;
    this.perSize[size]!--;
    this.counts[did & (COUNTERS - 1)]!--;
    if ((data[at + IOTLB_SLOT.INFO]! & INFO.FIRST_STAGE) !== 0) this.firstStages--;
  }

  /** After growth every chain is made anew; `fresh` is not filled yet. */
  private relink(fresh: number): void {
    const { table } = this;
    this.moves = table.moves;
    this.waiting = 0;
    this.groups = new Int32Array(table.sets);
    for (let at = 0; at < table.end; at += table.step) if (table.isLive(at) && at !== fresh) this.join(at);
  }
}
