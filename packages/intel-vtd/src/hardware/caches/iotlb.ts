import { PAYLOAD, SLOT_WORDS, SlotTable } from './slot-table.ts';
import { maskHi, maskLo } from './span.ts';

/** Payload of an IOTLB slot. */
export const IOTLB_SLOT = {
  PA_HI: PAYLOAD,
  PA_LO: PAYLOAD + 1,
  INFO: PAYLOAD + 2,
  DID: PAYLOAD + 3,
  /** The PASID that was used: the request's own or RID_PASID. */
  PASID: PAYLOAD + 4,
  /** Chain of slots with the same domain and page. */
  GROUP_NEXT: PAYLOAD + 5,
  GROUP_BEFORE: PAYLOAD + 6,
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

const BOUND_LG2 = 15;
const SIZES_LG2 = [12, 21, 30] as const;
const SIZE_INDEX_SHIFT = 16;
const PRIVILEGED = 1 << 20;
/** Page-selective invalidation probes up to this many pages; past it, it looks at every slot instead. */
const PROBES = 512;

/** Index in {@link SIZES_LG2} of a page size. */
const sizeIndex = (lg2: number): number => (lg2 === 12 ? 0 : lg2 === 21 ? 1 : 2);

/**
 * Translations by source-id, PASID, privilege and page; invalidated by domain, PASID and address. The lookup never
 * sees the domain and the invalidation never sees the source-id, as the manual tags them (VT-d 6.2.1, 6.2.4).
 */
export class Iotlb extends SlotTable {
  private readonly perSize = new Int32Array(3);
  private readonly perDomain = new Int32Array(1 << 16);
  private groups = new Int32Array(this.heads.length);
  /** Live slots that came through a first stage. */
  private firstStages = 0;

  constructor() {
    super(BOUND_LG2);
  }

  /** `pasid` -1 for a request without one, which `privileged` 0 goes with. */
  lookup(sid: number, pasid: number, privileged: number, hi: number, lo: number): number {
    const key = privileged === 0 ? sid : sid | PRIVILEGED;
    if (this.perSize[0] !== 0) {
      const at = this.find(key, pasid, hi, lo & -4096);
      if (at !== 0) return at;
    }
    if (this.perSize[1] !== 0) {
      const at = this.find(key | (1 << SIZE_INDEX_SHIFT), pasid, hi, lo & -0x20_0000);
      if (at !== 0) return at;
    }
    return this.perSize[2] === 0 ? 0 : this.find(key | (2 << SIZE_INDEX_SHIFT), pasid, hi, lo & -0x4000_0000);
  }

  /** Returns the slot. `info` and `tagPasid` as {@link IOTLB_SLOT} says; the addresses may be any in their page. */
  add(
    sid: number,
    pasid: number,
    privileged: number,
    hi: number,
    lo: number,
    paHi: number,
    paLo: number,
    info: number,
    did: number,
    tagPasid: number,
  ): number {
    const lg2 = (info >>> INFO.SIZE_SHIFT) & 0xff;
    const size = sizeIndex(lg2);
    const key = (privileged === 0 ? sid : sid | PRIVILEGED) | (size << SIZE_INDEX_SHIFT);
    const mask = maskLo(lg2);
    const at = this.insert(key, pasid, hi, lo & mask);
    const data = this.data;
    data[at + IOTLB_SLOT.PA_HI] = paHi;
    data[at + IOTLB_SLOT.PA_LO] = paLo & mask;
    data[at + IOTLB_SLOT.INFO] = info;
    data[at + IOTLB_SLOT.DID] = did;
    data[at + IOTLB_SLOT.PASID] = tagPasid;
    this.perSize[size]!++;
    this.perDomain[did]!++;
    if ((info & INFO.FIRST_STAGE) !== 0) this.firstStages++;
    this.link(at);
    return at;
  }

  override clear(): void {
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) {
      this.groups[this.groupBucket(at)] = 0;
      this.perDomain[this.data[at + IOTLB_SLOT.DID]!] = 0;
    }
    this.perSize.fill(0);
    this.firstStages = 0;
    super.clear();
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
    if (this.perDomain[did] === 0) return;
    if (rangeLg2 > 30 || 2 ** (rangeLg2 - 12) > PROBES) {
      this.scan(did, pasid, pasid >= 0, rangeLg2, hi, lo);
      return;
    }
    for (let size = 0; size < 3; size++)
      if (this.perSize[size] !== 0) this.probePages(size, did, pasid, rangeLg2, hi, lo);
  }

  private probePages(size: number, did: number, pasid: number, rangeLg2: number, hi: number, lo: number): void {
    const lg2 = SIZES_LG2[size]!;
    const mask = maskLo(lg2);
    const pages = rangeLg2 <= lg2 ? 1 : 2 ** (rangeLg2 - lg2);
    let page = lo & maskLo(rangeLg2) & mask;
    for (let i = 0; i < pages; i++) {
      this.dropGroup(size, did, pasid, hi, page);
      page = (page + 2 ** lg2) | 0;
    }
  }

  private dropGroup(size: number, did: number, pasid: number, hi: number, page: number): void {
    const data = this.data;
    let at = this.groups[this.bucket(did, size, hi, page)]!;
    while (at !== 0) {
      const next = data[at + IOTLB_SLOT.GROUP_NEXT]!;
      const mine =
        data[at + IOTLB_SLOT.DID] === did &&
        data[at + 2] === hi &&
        data[at + 3] === page &&
        ((data[at]! >>> SIZE_INDEX_SHIFT) & 3) === size;
      if (mine && (pasid < 0 || this.hasPasid(at, pasid))) this.remove(at);
      at = next;
    }
  }

  private hasPasid(at: number, pasid: number): boolean {
    return this.data[at + IOTLB_SLOT.PASID] === pasid && (this.data[at + IOTLB_SLOT.INFO]! & INFO.FIRST_STAGE) !== 0;
  }

  private scan(did: number, pasid: number, firstStageOnly: boolean, rangeLg2: number, hi: number, lo: number): void {
    let left = this.perDomain[did]!;
    const data = this.data;
    for (let at = SLOT_WORDS; left > 0 && at < this.end; at += SLOT_WORDS) {
      if (!this.isLive(at) || data[at + IOTLB_SLOT.DID] !== did) continue;
      left--;
      if (firstStageOnly && (data[at + IOTLB_SLOT.INFO]! & INFO.FIRST_STAGE) === 0) continue;
      if (pasid >= 0 && data[at + IOTLB_SLOT.PASID] !== pasid) continue;
      const wider = Math.max(rangeLg2, SIZES_LG2[(data[at]! >>> SIZE_INDEX_SHIFT) & 3]!);
      if (((data[at + 2]! ^ hi) & maskHi(wider)) === 0 && ((data[at + 3]! ^ lo) & maskLo(wider)) === 0) this.remove(at);
    }
  }

  private groupBucket(at: number): number {
    const data = this.data;
    return this.bucket(data[at + IOTLB_SLOT.DID]!, (data[at]! >>> SIZE_INDEX_SHIFT) & 3, data[at + 2]!, data[at + 3]!);
  }

  private link(at: number): void {
    const data = this.data;
    const bucket = this.groupBucket(at);
    const next = this.groups[bucket]!;
    data[at + IOTLB_SLOT.GROUP_NEXT] = next;
    data[at + IOTLB_SLOT.GROUP_BEFORE] = 0;
    if (next !== 0) data[next + IOTLB_SLOT.GROUP_BEFORE] = at;
    this.groups[bucket] = at;
  }

  protected override unlinked(at: number): void {
    const data = this.data;
    const next = data[at + IOTLB_SLOT.GROUP_NEXT]!;
    const before = data[at + IOTLB_SLOT.GROUP_BEFORE]!;
    if (before === 0) this.groups[this.groupBucket(at)] = next;
    else data[before + IOTLB_SLOT.GROUP_NEXT] = next;
    if (next !== 0) data[next + IOTLB_SLOT.GROUP_BEFORE] = before;
    this.perSize[(data[at]! >>> SIZE_INDEX_SHIFT) & 3]!--;
    this.perDomain[data[at + IOTLB_SLOT.DID]!]!--;
    if ((data[at + IOTLB_SLOT.INFO]! & INFO.FIRST_STAGE) !== 0) this.firstStages--;
  }

  protected override grown(): void {
    this.groups = new Int32Array(this.heads.length);
    for (let at = SLOT_WORDS; at < this.end; at += SLOT_WORDS) if (this.isLive(at)) this.link(at);
  }
}
