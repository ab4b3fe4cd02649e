import { PASID_DIRECTORY_ENTRY, PASID_ENTRY, PGTT } from '../format/index.ts';
import { CODE_MASK, CONTEXT, type ContextCache, FPD_SEEN } from './caches/context-cache.ts';
import { PASID, PASID_FLAG, type PasidCache } from './caches/pasid-cache.ts';
import { tell } from './explain.ts';
import type { UnitState } from './state.ts';

const SPD_1 = 0x50;
const SPD_2 = 0x51;
const SPD_3 = 0x52;
const SPT_1 = 0x58;
const SPT_2 = 0x59;
const SPT_3 = 0x5a;
const SPT_4 = 0x5b;

const P = 1;
const FPD = 2;
const WORDS = 16;

/** PASID directory and table. VT-d 3.4.3, 9.5, 9.6. */
export class PasidLookup {
  /** FPD of the directory or table entry. */
  fpd = false;
  private readonly state: UnitState;
  private readonly contexts: ContextCache;
  private readonly pasids: PasidCache;
  private readonly words = new Int32Array(WORDS);
  private tableHi = 0;
  private tableLo = 0;

  constructor(state: UnitState, contexts: ContextCache, pasids: PasidCache) {
    this.state = state;
    this.contexts = contexts;
    this.pasids = pasids;
  }

  /** The PASID-cache slot, or minus the fault reason. `context` is the device's context-cache slot. */
  find(context: number, sid: number, pasid: number): number {
    const cached = this.pasids.lookup(sid, pasid);
    if (cached >= 0) {
      const code = this.pasids.data[cached + PASID.CODE]!;
      this.fpd = (code & FPD_SEEN) !== 0;
      return (code & CODE_MASK) === 0 ? cached : -(code & CODE_MASK);
    }
    this.fpd = false;
    const code = this.readDirectory(context, pasid) || this.readEntry(pasid);
    if (code === 0) return this.keep(sid, pasid, 0);
    if (this.state.features.cap.CM && code !== SPD_1 && code !== SPT_1) this.keep(sid, pasid, code);
    return -code;
  }

  private readDirectory(context: number, pasid: number): number {
    const { state } = this;
    const data = this.contexts.data;
    const hi = data[context + CONTEXT.TABLE_HI]!;
    const lo = data[context + CONTEXT.TABLE_LO]!;
    /* The directory may be larger than a page, so that the offset can carry. */
    const sum = (lo >>> 0) + (pasid >>> 6) * 8;
    const atHi = sum > 0xffff_ffff ? (hi + 1) | 0 : hi;
    const { memory, features } = state;
    if (!memory.read64(atHi, sum | 0)) return SPD_1;
    const entryLo = memory.lo;
    const entryHi = memory.hi;
    if (state.probe !== null)
      tell(state, 'pasid-directory-entry', atHi, sum | 0, PASID_DIRECTORY_ENTRY, [entryLo, entryHi]);
    this.fpd = (entryLo & FPD) !== 0;
    if ((entryLo & P) === 0) return SPD_2;
    if (((entryLo & (0xffc | features.pointerRsvdLo)) | (entryHi & features.pointerRsvdHi)) !== 0) return SPD_3;
    this.tableHi = entryHi;
    this.tableLo = entryLo & -4096;
    return 0;
  }

  private readEntry(pasid: number): number {
    const { state, words } = this;
    const { memory } = state;
    const at = this.tableLo | ((pasid & 0x3f) << 6);
    for (let i = 0; i < WORDS; i += 2) {
      if (!memory.read64(this.tableHi, at | (i << 2))) return SPT_1;
      words[i] = memory.lo;
      words[i + 1] = memory.hi;
    }
    if (state.probe !== null) tell(state, 'pasid-entry', this.tableHi, at, PASID_ENTRY, words);
    this.fpd ||= (words[0]! & FPD) !== 0;
    if ((words[0]! & P) === 0) return SPT_2;
    const reserved = state.features.pasidRsvd((words[0]! >>> 6) & 7);
    for (let i = 0; i < WORDS; i++) if ((words[i]! & reserved[i]!) !== 0) return SPT_3;
    return this.usable() ? 0 : SPT_4;
  }

  /** AW, PGTT, FSPM, and a nested first stage whose root lies outside the second stage. */
  private usable(): boolean {
    const { words } = this;
    const { features } = this.state;
    const { cap, ecap } = features;
    const pgtt = (words[0]! >>> 6) & 7;
    const first = pgtt === PGTT.FIRST_STAGE || pgtt === PGTT.NESTED;
    const second = pgtt === PGTT.SECOND_STAGE || pgtt === PGTT.NESTED;
    const aw = (words[0]! >>> 2) & 7;
    if (second && ((features.sagaw >>> aw) & 1) === 0) return false;
    if (pgtt === PGTT.PASS_THROUGH) return ecap.PT;
    if (pgtt === PGTT.NESTED ? !ecap.NEST : first ? !ecap.FSTS : !second || !ecap.SSTS) return false;
    const fspm = (words[4]! >>> 2) & 3;
    if (first && fspm !== 0 && (fspm !== 1 || !cap.FS5LP)) return false;
    return pgtt !== PGTT.NESTED || !features.beyondAperture(aw + 2, words[5]!, words[4]! & -4096);
  }

  private keep(sid: number, pasid: number, code: number): number {
    const at = this.pasids.add(sid, pasid);
    const { words } = this;
    const data = this.pasids.data;
    data[at + PASID.CODE] = this.fpd ? code | FPD_SEEN : code;
    data[at + PASID.DID] = code === 0 ? words[2]! & 0xffff : 0;
    data[at + PASID.FLAGS] = this.flags();
    data[at + PASID.SS_LEVELS] = ((words[0]! >>> 2) & 7) + 2;
    data[at + PASID.SS_HI] = words[1]!;
    data[at + PASID.SS_LO] = words[0]! & -4096;
    data[at + PASID.FS_HI] = words[5]!;
    data[at + PASID.FS_LO] = words[4]! & -4096;
    return at;
  }

  private flags(): number {
    const { words } = this;
    let flags = (words[0]! >>> 6) & 7;
    if ((words[0]! & (1 << 9)) !== 0) flags |= PASID_FLAG.SSADE;
    if ((words[2]! & (1 << 23)) !== 0) flags |= PASID_FLAG.SNOOPED;
    if ((words[4]! & 1) !== 0) flags |= PASID_FLAG.SRE;
    if ((words[4]! & (1 << 2)) !== 0) flags |= PASID_FLAG.FIVE_LEVELS;
    if ((words[4]! & (1 << 4)) !== 0) flags |= PASID_FLAG.WPE;
    if ((words[4]! & (1 << 7)) !== 0) flags |= PASID_FLAG.EAFE;
    return flags;
  }
}
