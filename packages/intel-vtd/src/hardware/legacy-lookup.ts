import { CONTEXT_ENTRY, ROOT_ENTRY, TT } from '../format/index.ts';
import { CODE_MASK, CONTEXT, type ContextCache, FPD_SEEN } from './caches/context-cache.ts';
import { tell } from './explain.ts';
import type { UnitState } from './state.ts';

const LRT_1 = 0x08;
const LRT_2 = 0x01;
const LRT_3 = 0x0a;
const LCT_1 = 0x09;
const LCT_2 = 0x02;
const LCT_3 = 0x0b;
const LCT_4 = 0x03;

const P = 1;
const FPD = 2;

/** Legacy root and context entries. VT-d 3.4.2, 9.1, 9.3. */
export class LegacyLookup {
  /** FPD of the entry that ended the lookup. */
  fpd = false;
  private readonly state: UnitState;
  private readonly contexts: ContextCache;
  private readonly words = new Int32Array(4);
  private aw = 0;

  constructor(state: UnitState, contexts: ContextCache) {
    this.state = state;
    this.contexts = contexts;
  }

  /** The context-cache slot for a source-id, or minus the fault reason. */
  find(sid: number): number {
    const cached = this.contexts.lookup(sid);
    if (cached >= 0) {
      const code = this.contexts.data[cached + CONTEXT.CODE]!;
      this.fpd = (code & FPD_SEEN) !== 0;
      return (code & CODE_MASK) === 0 ? cached : -(code & CODE_MASK);
    }
    this.fpd = false;
    const root = this.readRoot(sid);
    if (root !== 0) return -root;
    const code = this.readContext(sid);
    if (code === 0) return this.keep(sid, 0);
    if (this.state.features.cap.CM && code !== LCT_1) this.keep(sid, code);
    return -code;
  }

  private readRoot(sid: number): number {
    const { state, words } = this;
    const at = state.rootLo | ((sid >>> 8) << 4);
    if (!this.read(state.rootHi, at)) return LRT_1;
    if (state.probe !== null) tell(state, 'root-entry', state.rootHi, at, ROOT_ENTRY, words);
    if ((words[0]! & P) === 0) return LRT_2;
    const { pointerRsvdHi, pointerRsvdLo } = state.features;
    const low = (words[0]! & (0xffe | pointerRsvdLo)) | (words[1]! & pointerRsvdHi);
    return (low | words[2]! | words[3]!) === 0 ? 0 : LRT_3;
  }

  private readContext(sid: number): number {
    const { state, words } = this;
    const hi = words[1]!;
    const at = (words[0]! & -4096) | ((sid & 0xff) << 4);
    if (!this.read(hi, at)) return LCT_1;
    if (state.probe !== null) tell(state, 'context-entry', hi, at, CONTEXT_ENTRY, words);
    this.fpd = (words[0]! & FPD) !== 0;
    if ((words[0]! & P) === 0) return LCT_2;
    if (this.reserved()) return LCT_3;
    this.aw = words[2]! & 7;
    if (((state.features.sagaw >>> this.aw) & 1) === 0) return LCT_4;
    return this.typeOffered() ? 0 : LCT_4;
  }

  private reserved(): boolean {
    const { words } = this;
    const { pointerRsvdHi, pointerRsvdLo, didMask } = this.state.features;
    const passes = ((words[0]! >>> 2) & 3) === TT.PASS_THROUGH;
    const pointer = passes ? 0 : (words[1]! & pointerRsvdHi) | (words[0]! & pointerRsvdLo & -4096);
    const did = (words[2]! >>> 8) & 0xffff & ~didMask;
    return ((words[0]! & 0xff0) | pointer | (words[2]! & 0xff00_0080) | did | words[3]!) !== 0;
  }

  private typeOffered(): boolean {
    const type = (this.words[0]! >>> 2) & 3;
    const { ecap } = this.state.features;
    if (type === TT.SECOND_STAGE_ATS) return ecap.DT;
    return type === TT.PASS_THROUGH ? ecap.PT : type === TT.SECOND_STAGE;
  }

  /** With caching mode a fault is kept too, under domain 0. VT-d 6.1. */
  private keep(sid: number, code: number): number {
    const at = this.contexts.add(sid);
    const { words } = this;
    const data = this.contexts.data;
    data[at + CONTEXT.CODE] = this.fpd ? code | FPD_SEEN : code;
    data[at + CONTEXT.DID] = code === 0 ? (words[2]! >>> 8) & 0xffff : 0;
    data[at + CONTEXT.KIND] = (words[0]! >>> 2) & 3;
    data[at + CONTEXT.LIMIT] = this.aw + 2;
    data[at + CONTEXT.TABLE_HI] = words[1]!;
    data[at + CONTEXT.TABLE_LO] = words[0]! & -4096;
    return at;
  }

  private read(hi: number, lo: number): boolean {
    const { memory } = this.state;
    if (!memory.read64(hi, lo)) return false;
    this.words[0] = memory.lo;
    this.words[1] = memory.hi;
    if (!memory.read64(hi, lo | 8)) return false;
    this.words[2] = memory.lo;
    this.words[3] = memory.hi;
    return true;
  }
}
