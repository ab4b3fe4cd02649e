import { SECOND_STAGE_PTE, SSLPS } from '../format/index.ts';
import { PagingCache, TABLE, TABLE_RIGHTS } from './caches/paging-cache.ts';
import { tellEntry } from './explain.ts';
import type { UnitState } from './state.ts';
import { entryOffset, leafLg2 } from './table-index.ts';

/** How a second-stage walk ends, before a mode gives it a fault code. */
export const SS = {
  OK: 0,
  ROOT_UNREACHABLE: 1,
  UNREACHABLE: 2,
  NOT_PRESENT: 3,
  RESERVED: 4,
  NO_WRITE: 5,
  NO_READ: 6,
  UNSNOOPED: 7,
  UPDATE_FAILED: 8,
  BEYOND: 9,
} as const;

export const READ = 1;
export const WRITE = 2;

const PS = 1 << 7;
const A = 1 << 8;
const D = 1 << 9;
const SNP = 1 << 11;
const BIT_62_HI = 1 << 30;
/** Bits of the table's high half that belong to an address, 51:32. */
const ADDRESS_HI = 0x000f_ffff;
/** Tries of an atomic flag update; only a memory that changes under the walk needs a second one. */
const UPDATE_TRIES = 4;

/** The second-stage walk, VT-d 3.7 and 9.8. Results stand in the fields; nothing is allocated. */
export class SecondStage {
  readonly cache = new PagingCache();
  paHi = 0;
  paLo = 0;
  pageLg2 = 12;
  /** READ and WRITE gathered over all levels. */
  rights = 0;
  /** The entry that ended a successful walk needs no D update for a write. */
  dirty = false;
  private readonly state: UnitState;
  private readonly leafReserved: Int32Array;
  private readonly snoopReserved: number;
  private readonly rsvdHi: number;
  private readonly rsvdLo: number;
  private entryHi = 0;
  private entryLo = 0;

  constructor(state: UnitState) {
    this.state = state;
    const { cap, ecap } = state.features;
    const large = PS;
    this.snoopReserved = ecap.SC ? 0 : SNP;
    this.rsvdHi = state.features.pteRsvdHi;
    this.rsvdLo = state.features.pteRsvdLo;
    /* By level, for a leaf: its address bits below the page, or PS where the size does not exist. */
    this.leafReserved = Int32Array.of(
      0,
      0,
      cap.SSLPS & SSLPS.SIZE_2M ? 0x1f_f000 : large,
      cap.SSLPS & SSLPS.SIZE_1G ? 0x3fff_f000 : large,
      large,
      large,
    );
  }

  /**
   * Translates `hi:lo`, which the caller has checked against the aperture. `need` are the rights without which the walk
   * stops; `write` also sets D. `flags` tells whether A/D are kept and whether the walk may update them.
   */
  walk(
    did: number,
    rootHi: number,
    rootLo: number,
    levels: number,
    flags: number,
    hi: number,
    lo: number,
    need: number,
    write: boolean,
  ): number {
    let level = levels;
    let tableHi = rootHi;
    let tableLo = rootLo;
    this.rights = READ | WRITE;
    const known = this.cache.mayKnow(did, -1, hi);
    for (let cached = 2; known && cached <= levels; cached++) {
      const at = this.cache.lookup(cached, did, -1, hi, lo);
      if (at < 0) continue;
      const data = this.cache.data;
      level = cached - 1;
      tableHi = data[at + TABLE.HI]!;
      tableLo = data[at + TABLE.LO]! & ~TABLE_RIGHTS;
      this.rights = data[at + TABLE.LO]! & TABLE_RIGHTS;
      break;
    }
    const memory = this.state.memory;
    for (; ; level--) {
      const at = tableLo | entryOffset(level, hi, lo);
      if (!memory.read64(tableHi, at)) return level === levels ? SS.ROOT_UNREACHABLE : SS.UNREACHABLE;
      this.entryHi = memory.hi;
      this.entryLo = memory.lo;
      if (this.state.probe !== null) this.tell(level, tableHi, at);
      const leaf = level === 1 || (this.entryLo & PS) !== 0;
      const refused = this.check(level, leaf, need);
      if (refused !== SS.OK) return refused;
      if ((flags & KEEP_FLAGS) !== 0) {
        const failed = this.updateFlags(tableHi, at, flags, leaf && write);
        if (failed !== SS.OK) return failed;
      }
      if (leaf) return this.finish(level, flags, lo);
      tableHi = this.entryHi & ADDRESS_HI;
      tableLo = this.entryLo & -4096;
      if (known || level === 2) this.cache.add(level, did, -1, hi, lo, tableHi, tableLo | this.rights);
    }
  }

  /** Rights first, reserved bits after: an entry with R=W=0 is not looked at any further. */
  private check(level: number, leaf: boolean, need: number): number {
    const lo = this.entryLo;
    const hi = this.entryHi;
    this.rights &= this.state.ssirwe ? (hi >>> 29) & 3 : lo & 3;
    if (this.rights === 0) return SS.NOT_PRESENT;
    const lost = need & ~this.rights;
    if (lost !== 0) return (lost & WRITE) !== 0 ? SS.NO_WRITE : SS.NO_READ;
    let reserved = (hi & this.rsvdHi) | (lo & this.rsvdLo);
    if (!this.state.ssirwe) reserved |= hi & BIT_62_HI;
    reserved |= leaf ? lo & (this.leafReserved[level]! | this.snoopReserved) : lo & SNP;
    return reserved === 0 ? SS.OK : SS.RESERVED;
  }

  /** A in every entry, D in the leaf of a write, in one atomic update. */
  private updateFlags(tableHi: number, at: number, flags: number, dirty: boolean): number {
    const wanted = dirty ? A | D : A;
    for (let i = 0; i < UPDATE_TRIES; i++) {
      if ((this.entryLo & wanted) === wanted) return SS.OK;
      if ((flags & SNOOPED) === 0) return SS.UNSNOOPED;
      const memory = this.state.memory;
      const { entryHi: hi, entryLo: lo } = this;
      if (memory.compareExchange64(tableHi, at, hi, lo, hi, lo | wanted)) {
        this.entryLo = lo | wanted;
        return SS.OK;
      }
      if (!memory.read64(tableHi, at) || (memory.hi === hi && memory.lo === lo)) return SS.UPDATE_FAILED;
      this.entryLo |= memory.lo & (A | D);
      if (((memory.lo ^ lo) & ~(A | D)) !== 0 || memory.hi !== hi) return SS.UPDATE_FAILED;
    }
    return SS.UPDATE_FAILED;
  }

  private finish(level: number, flags: number, lo: number): number {
    this.pageLg2 = leafLg2(level);
    const inside = (1 << this.pageLg2) - 1;
    this.paHi = this.entryHi & ADDRESS_HI;
    this.paLo = (this.entryLo & ~inside) | (lo & inside);
    this.dirty = (flags & KEEP_FLAGS) === 0 || (this.entryLo & D) !== 0;
    return SS.OK;
  }

  private tell(level: number, tableHi: number, at: number): void {
    const entry = { hi: this.entryHi, lo: this.entryLo };
    tellEntry(this.state, 'SS', level, { hi: tableHi, lo: at }, SECOND_STAGE_PTE, entry);
  }
}

/** `flags` of a walk. */
export const KEEP_FLAGS = 1;
export const SNOOPED = 2;
