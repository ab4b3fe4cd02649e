import { FIRST_STAGE_PTE } from '../format/index.ts';
import { PagingCache, TABLE, TABLE_RIGHTS } from './caches/paging-cache.ts';
import { PASID, PASID_FLAG, type PasidCache } from './caches/pasid-cache.ts';
import { tellEntry } from './explain.ts';
import { KEEP_FLAGS, READ, type SecondStage, SNOOPED, SS, WRITE } from './second-stage.ts';
import type { UnitState } from './state.ts';
import { entryOffset, inInterruptWindow, isCanonical, leafLg2 } from './table-index.ts';

/** Fault reasons a first-stage or nested walk gives; VT-d 7.1.3. */
const SFS_1 = 0x70;
const SFS_2 = 0x71;
const SFS_3 = 0x72;
const SFS_4 = 0x73;
const SFS_5 = 0x74;
const SFS_6 = 0x75;
const SFS_7 = 0x76;
const SFS_8 = 0x77;
const SGN_1 = 0x80;
const SGN_2 = 0x81;
const SGN_6 = 0x85;
const SGN_7 = 0x86;
const SGN_8 = 0x87;
const SFS_9 = 0x90;
const SFS_10 = 0x91;

/** A second-stage result on the way to a final page, as a fault reason. */
export const SCALABLE_SS = Int32Array.of(0, 0x7b, 0x78, 0x79, 0x7a, SGN_6, SGN_7, 0x7c, 0x7d, 0x84);

const P = 1;
const RW = 2;
const US = 4;
const A = 1 << 5;
const D = 1 << 6;
const PS = 1 << 7;
const EA = 1 << 10;
const ADDRESS_HI = 0x000f_ffff;
const UPDATE_TRIES = 4;

/** Among the rights kept with a table: RW and US gathered, and whether the second stage lets the table itself be written. */
const TABLE_WRITABLE = 1;

/** The first-stage walk, alone or over a second stage. VT-d 3.6, 3.8, 9.7. Results stand in the fields. */
export class FirstStage {
  readonly cache = new PagingCache();
  paHi = 0;
  paLo = 0;
  pageLg2 = 12;
  /** READ and WRITE this privilege has on the page. */
  rights = 0;
  dirty = false;
  private readonly state: UnitState;
  private readonly second: SecondStage;
  private readonly pasids: PasidCache;
  private readonly leafReserved: Int32Array;
  private readonly noLeaf: Int32Array;
  private readonly rsvdHi: number;
  private readonly rsvdLo: number;
  private entryHi = 0;
  private entryLo = 0;
  /** RW and US gathered over the levels. */
  private gathered = 0;
  private tableHi = 0;
  private tableLo = 0;
  private tableWritable = true;
  private privileged = false;
  private known = false;

  constructor(state: UnitState, second: SecondStage, pasids: PasidCache) {
    this.state = state;
    this.second = second;
    this.pasids = pasids;
    this.rsvdHi = state.features.pteRsvdHi;
    this.rsvdLo = state.features.pteRsvdLo;
    const gigabyte = state.features.cap.FS1GP;
    this.noLeaf = Int32Array.of(0, 0, 0, gigabyte ? 0 : PS, PS, PS);
    this.leafReserved = Int32Array.of(0, 0, 0x1f_e000, 0x3fff_e000, 0, 0);
  }

  /** `at` is the PASID-cache slot. Returns 0 or the fault reason. */
  walk(
    at: number,
    pasid: number,
    hi: number,
    lo: number,
    write: boolean,
    privileged: boolean,
    nested: boolean,
  ): number {
    const data = this.pasids.data;
    const flags = data[at + PASID.FLAGS]!;
    const levels = (flags & PASID_FLAG.FIVE_LEVELS) !== 0 ? 5 : 4;
    if (!isCanonical(levels === 5, hi)) return SGN_1;
    this.privileged = privileged;
    const did = data[at + PASID.DID]!;
    this.known = this.cache.mayKnow(did, pasid, hi);
    let level = this.fromCache(did, pasid, levels, hi, lo);
    if (level === 0) {
      level = levels;
      const refused = this.point(at, nested, data[at + PASID.FS_HI]!, data[at + PASID.FS_LO]!, SFS_6);
      if (refused !== 0) return refused;
      this.gathered = RW | US;
    }
    const memory = this.state.memory;
    const plain = plainEntry(flags, write);
    for (; ; level--) {
      const entry = this.tableLo | entryOffset(level, hi, lo);
      if (!memory.read64(this.tableHi, entry)) return level === levels ? SFS_4 : SFS_1;
      const entryHi = memory.hi;
      const entryLo = memory.lo;
      this.entryHi = entryHi;
      this.entryLo = entryLo;
      if (this.state.probe !== null) this.tell(level, this.tableHi, entry);
      const stray = (entryHi & this.rsvdHi) | (entryLo & this.rsvdLo) | ((entryLo & (plain | PS)) ^ plain);
      if (stray === 0 && level !== 1 && !privileged) this.gathered &= entryLo;
      else {
        const leaf = level === 1 || (entryLo & PS) !== 0;
        const refused = this.check(level, leaf, flags, write);
        if (refused !== 0) return refused;
        if (leaf) return this.leaf(at, level, entry, lo, write, nested);
        const failed = this.update(flags, entry, A);
        if (failed !== 0) return failed;
      }
      if (nested) {
        const lost = this.point(at, nested, entryHi & ADDRESS_HI, entryLo & -4096, SFS_7);
        if (lost !== 0) return lost;
      } else {
        this.tableHi = entryHi & ADDRESS_HI;
        this.tableLo = entryLo & -4096;
      }
      if (!this.known && level !== 2) continue;
      const rights = this.gathered | (this.tableWritable ? TABLE_WRITABLE : 0);
      this.cache.add(level, did, pasid, hi, lo, this.tableHi, this.tableLo | rights);
    }
  }

  /** Starts from the deepest cached entry; returns its table's level, or 0. */
  private fromCache(did: number, pasid: number, levels: number, hi: number, lo: number): number {
    if (!this.known) return 0;
    for (let level = 2; level <= levels; level++) {
      const at = this.cache.lookup(level, did, pasid, hi, lo);
      if (at < 0) continue;
      const table = this.cache.data[at + TABLE.LO]!;
      this.tableHi = this.cache.data[at + TABLE.HI]!;
      this.tableLo = table & ~TABLE_RIGHTS;
      this.gathered = table & (RW | US);
      this.tableWritable = (table & TABLE_WRITABLE) !== 0;
      return level - 1;
    }
    return 0;
  }

  /** Present, reserved, then rights, entry by entry. */
  private check(level: number, leaf: boolean, flags: number, write: boolean): number {
    const lo = this.entryLo;
    if ((lo & P) === 0) return SFS_2;
    const reserved = leaf ? this.leafReserved[level]! | this.noLeaf[level]! : 0;
    if (((this.entryHi & this.rsvdHi) | (lo & (this.rsvdLo | reserved))) !== 0) return SFS_3;
    this.gathered &= lo;
    if (this.privileged) {
      const protect = (flags & PASID_FLAG.WPE) !== 0;
      this.rights = protect && (this.gathered & RW) === 0 ? READ : READ | WRITE;
    } else {
      if ((this.gathered & US) === 0) return SGN_2;
      this.rights = (this.gathered & RW) === 0 ? READ : READ | WRITE;
    }
    return write && (this.rights & WRITE) === 0 ? SGN_6 : 0;
  }

  /** The page itself: second stage with the request's own access, interrupt range, and only then A and D. */
  private leaf(at: number, level: number, entry: number, lo: number, write: boolean, nested: boolean): number {
    this.pageLg2 = leafLg2(level);
    const inside = (1 << this.pageLg2) - 1;
    this.paHi = this.entryHi & ADDRESS_HI;
    this.paLo = (this.entryLo & ~inside) | (lo & inside);
    const flags = this.pasids.data[at + PASID.FLAGS]!;
    if (nested) {
      const refused = this.throughSecond(at, this.paHi, this.paLo, write ? WRITE : READ, write);
      if (refused === SS.BEYOND) return SFS_5;
      if (refused !== SS.OK) return SCALABLE_SS[refused]!;
      this.takeSecond();
    }
    if (inInterruptWindow(this.paHi, this.paLo)) return SGN_8;
    const failed = this.update(flags, entry, write ? A | D : A);
    if (failed !== 0) return failed;
    this.dirty = (this.entryLo & D) !== 0 && (!nested || this.second.dirty);
    return 0;
  }

  private takeSecond(): void {
    const { second } = this;
    this.paHi = second.paHi;
    this.paLo = second.paLo;
    this.pageLg2 = Math.min(this.pageLg2, second.pageLg2);
    this.rights &= second.rights;
  }

  /** Makes `hi:lo` the next table; over a second stage it is a guest address and must be readable there. */
  private point(at: number, nested: boolean, hi: number, lo: number, refusal: number): number {
    if (!nested) {
      this.tableHi = hi;
      this.tableLo = lo;
      this.tableWritable = true;
      return 0;
    }
    /* With SSADE the access counts as a write: it needs both rights and leaves the page of the table dirty. */
    const asWrite = (this.pasids.data[at + PASID.FLAGS]! & PASID_FLAG.SSADE) !== 0;
    const refused = this.throughSecond(at, hi, lo, asWrite ? READ | WRITE : READ, asWrite);
    if (refused === SS.NO_READ || refused === SS.NO_WRITE) return refusal;
    if (refused === SS.BEYOND) return SFS_5;
    if (refused !== SS.OK) return SCALABLE_SS[refused]!;
    this.tableHi = this.second.paHi;
    this.tableLo = this.second.paLo;
    this.tableWritable = (this.second.rights & WRITE) !== 0;
    return 0;
  }

  private throughSecond(at: number, hi: number, lo: number, need: number, write: boolean): number {
    const data = this.pasids.data;
    const levels = data[at + PASID.SS_LEVELS]!;
    if (this.state.features.beyondAperture(levels, hi, lo)) return SS.BEYOND;
    const flags = walkFlags(data[at + PASID.FLAGS]!);
    const did = data[at + PASID.DID]!;
    return this.second.walk(did, data[at + PASID.SS_HI]!, data[at + PASID.SS_LO]!, levels, flags, hi, lo, need, write);
  }

  /** Sets A (EA with it where EAFE is on) and D, in one atomic update. VT-d 3.6.2. */
  private update(flags: number, entry: number, bits: number): number {
    const wanted = (flags & PASID_FLAG.EAFE) === 0 ? bits : bits | EA;
    const memory = this.state.memory;
    for (let i = 0; i < UPDATE_TRIES; i++) {
      const { entryHi: hi, entryLo: lo } = this;
      if ((lo & wanted) === wanted) return 0;
      if ((flags & PASID_FLAG.SNOOPED) === 0) return SFS_9;
      if (!this.tableWritable) return SFS_8;
      if (memory.compareExchange64(this.tableHi, entry, hi, lo, hi, lo | wanted)) {
        this.entryLo = lo | wanted;
        return 0;
      }
      const same = !memory.read64(this.tableHi, entry) || (memory.hi === hi && memory.lo === lo);
      if (same || ((memory.lo ^ lo) & ~(A | D | EA)) !== 0 || memory.hi !== hi) return SFS_10;
      this.entryLo = memory.lo;
    }
    return SFS_10;
  }

  private tell(level: number, tableHi: number, at: number): void {
    const entry = { hi: this.entryHi, lo: this.entryLo };
    tellEntry(this.state, 'FS', level, { hi: tableHi, lo: at }, FIRST_STAGE_PTE, entry);
  }
}

/** What a non-leaf entry must have set (and PS clear) to let a user's request through with nothing more to ask. */
function plainEntry(flags: number, write: boolean): number {
  return P | US | A | (write ? RW : 0) | ((flags & PASID_FLAG.EAFE) === 0 ? 0 : EA);
}

/** What a PASID entry says about A/D in its second stage. */
export function walkFlags(pasidFlags: number): number {
  if ((pasidFlags & PASID_FLAG.SSADE) === 0) return 0;
  return (pasidFlags & PASID_FLAG.SNOOPED) === 0 ? KEEP_FLAGS : KEEP_FLAGS | SNOOPED;
}
