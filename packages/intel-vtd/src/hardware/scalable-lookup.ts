import { SCALABLE_CONTEXT_ENTRY, SCALABLE_ROOT_ENTRY } from '../format/index.ts';
import { CODE_MASK, CONTEXT, type ContextCache, FPD_SEEN } from './caches/context-cache.ts';
import { tell } from './explain.ts';
import type { UnitState } from './state.ts';

const SRT_1 = 0x38;
const SRT_2 = 0x39;
const SRT_3 = 0x3a;
const SCT_1 = 0x40;
const SCT_2 = 0x41;
const SCT_3 = 0x42;
export const SCT_4 = 0x43;

const P = 1;
/** Bits of the entry's low word, as kept in the cache's KIND. */
export const SCALABLE_CONTEXT = { FPD: 2, DTE: 4, PASIDE: 8, PRE: 16, HPTE: 32, EPTR: 64 } as const;

/** Scalable-mode root and context entries. VT-d 3.4.3, 9.2, 9.4. */
export class ScalableLookup {
  fpd = false;
  private readonly state: UnitState;
  private readonly contexts: ContextCache;
  private readonly words = new Int32Array(8);
  private limit = 0;

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
    if (this.state.features.cap.CM && code !== SCT_1) this.keep(sid, code);
    return -code;
  }

  /** The half that the device number selects; the other half's reserved bits count only where it is present. */
  private readRoot(sid: number): number {
    const { state, words } = this;
    const at = state.rootLo | ((sid >>> 8) << 4);
    if (!this.read(state.rootHi, at, 2)) return SRT_1;
    if (state.probe !== null) tell(state, 'scalable-root-entry', state.rootHi, at, SCALABLE_ROOT_ENTRY, words);
    const half = (sid & 0x80) === 0 ? 0 : 2;
    if ((words[half]! & P) === 0) return SRT_2;
    if (this.badPointer(0) || this.badPointer(2)) return SRT_3;
    words[0] = words[half]!;
    words[1] = words[half + 1]!;
    return 0;
  }

  private badPointer(half: number): boolean {
    const lo = this.words[half]!;
    if ((lo & P) === 0) return false;
    const { pointerRsvdHi, pointerRsvdLo } = this.state.features;
    return ((lo & (0xffe | pointerRsvdLo)) | (this.words[half + 1]! & pointerRsvdHi)) !== 0;
  }

  private readContext(sid: number): number {
    const { state, words } = this;
    const hi = words[1]!;
    const at = (words[0]! & -4096) | ((sid & 0x7f) << 5);
    if (!this.read(hi, at, 4)) return SCT_1;
    if (state.probe !== null) tell(state, 'scalable-context-entry', hi, at, SCALABLE_CONTEXT_ENTRY, words);
    this.fpd = (words[0]! & SCALABLE_CONTEXT.FPD) !== 0;
    if ((words[0]! & P) === 0) return SCT_2;
    const reserved = state.features.contextRsvd;
    for (let i = 0; i < 8; i++) if ((words[i]! & reserved[i]!) !== 0) return SCT_3;
    return this.inconsistent() ? SCT_4 : 0;
  }

  /** PRE without DTE, or RID_PASID past the directory. EPTR without PASIDE depends on the request. */
  private inconsistent(): boolean {
    const lo = this.words[0]!;
    this.limit = 2 ** (((lo >>> 9) & 7) + 13) - 1;
    if ((lo & SCALABLE_CONTEXT.PRE) !== 0 && (lo & SCALABLE_CONTEXT.DTE) === 0) return true;
    return (this.words[2]! & 0xf_ffff) > this.limit;
  }

  private keep(sid: number, code: number): number {
    const at = this.contexts.add(sid);
    const { words } = this;
    const data = this.contexts.data;
    data[at + CONTEXT.CODE] = this.fpd ? code | FPD_SEEN : code;
    data[at + CONTEXT.DID] = 0;
    data[at + CONTEXT.KIND] = words[0]! & 0xfff;
    data[at + CONTEXT.LIMIT] = this.limit;
    data[at + CONTEXT.TABLE_HI] = words[1]!;
    data[at + CONTEXT.TABLE_LO] = words[0]! & -4096;
    data[at + CONTEXT.RID_PASID] = words[2]! & 0xf_ffff;
    data[at + CONTEXT.RID_PRIV] = (words[2]! >>> 20) & 1;
    return at;
  }

  private read(hi: number, lo: number, quads: number): boolean {
    const { memory } = this.state;
    for (let i = 0; i < quads; i++) {
      if (!memory.read64(hi, lo | (i << 3))) return false;
      this.words[2 * i] = memory.lo;
      this.words[2 * i + 1] = memory.hi;
    }
    return true;
  }
}
