import type { HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { CONTEXT, DEVICE_ENTRY, MODE, SLOT, SLOT_COUNT } from '../format/context.ts';
import { CODE, type Code } from '../format/events.ts';
import { probeStructure } from './observe.ts';

const NONE = 0;
const CACHED = 256;
const DEVICE_RESERVED = { HI: 0xfff0_0000 | 0, LO: 0xffe };
const SLOT_RESERVED = { HI: 0xfff0_0000 | 0, LO: 0x3e };

/** A context as the unit remembers it; `code` is why there is none. */
export class CachedContext {
  device = -1;
  pasid = -1;
  code: Code | 0 = NONE;
  mode = 0;
  dirty = false;
  tag = 0;
  gtag = 0;
  rootHi = 0;
  rootLo = 0;
  grootHi = 0;
  grootLo = 0;
}

/** From a requester id and a PASID to a context; remembers every answer, refusals included, until told to forget. */
export class ContextLookup {
  probe: HardwareProbe | null = null;
  private readonly memory: PhysicalMemory;
  private readonly pasids: boolean;
  private readonly cache: CachedContext[] = Array.from({ length: CACHED }, () => new CachedContext());
  private readonly words = new Uint32Array(8);
  private tableHi = 0;
  private tableLo = 0;
  private tableLg2 = 0;

  constructor(memory: PhysicalMemory, pasids: boolean) {
    this.memory = memory;
    this.pasids = pasids;
  }

  /** The TABLE register's halves, taken over when the unit starts. */
  start(hi: number, lo: number): void {
    this.tableHi = hi;
    this.tableLo = lo & ~0xfff;
    this.tableLg2 = lo & 0x1f;
    this.forgetAll();
  }

  /** `pasid` 0: a request without one. */
  find(device: number, pasid: number): CachedContext {
    const slot = (device ^ (pasid << 3)) & (CACHED - 1);
    const context = this.cache[slot]!;
    if (context.device === device && context.pasid === pasid) return context;
    context.device = device;
    context.pasid = pasid;
    context.code = this.read(context);
    return context;
  }

  forgetAll(): void {
    for (const context of this.cache) context.device = -1;
  }

  forgetDevice(device: number): void {
    for (const context of this.cache) if (context.device === device) context.device = -1;
  }

  forgetSlot(device: number, pasid: number): void {
    for (const context of this.cache) if (context.device === device && context.pasid === pasid) context.device = -1;
  }

  forgetTag(tag: number): void {
    for (const context of this.cache) if (context.code === NONE && context.tag === tag) context.device = -1;
  }

  private read(into: CachedContext): Code | 0 {
    const { memory } = this;
    if (into.device >= 2 ** this.tableLg2) return CODE.BAD_DEVICE;
    if (!this.fetch('device entry', DEVICE_ENTRY, this.tableHi, this.tableLo + into.device * 8))
      return CODE.FETCH_ABORT;
    if ((memory.lo & 1) === 0) return CODE.BAD_DEVICE;
    if (((memory.hi & DEVICE_RESERVED.HI) | (memory.lo & DEVICE_RESERVED.LO)) !== 0) return CODE.BAD_CONTEXT;
    if (into.pasid >= SLOT_COUNT || (into.pasid > 0 && !this.pasids)) return CODE.BAD_PASID;
    if (!this.fetch('slot', SLOT, memory.hi, (memory.lo & ~0xfff) + into.pasid * 8)) return CODE.FETCH_ABORT;
    if ((memory.lo & 1) === 0) return into.pasid === 0 ? CODE.BLOCKED : CODE.BAD_PASID;
    if (((memory.hi & SLOT_RESERVED.HI) | (memory.lo & SLOT_RESERVED.LO)) !== 0) return CODE.BAD_CONTEXT;
    return this.readContext(into, memory.hi, memory.lo & ~0x3f);
  }

  private readContext(into: CachedContext, hi: number, lo: number): Code | 0 {
    const { memory, words } = this;
    for (let i = 0; i < 4; i++) {
      if (!memory.read64(hi, lo + i * 8)) return CODE.FETCH_ABORT;
      words[i * 2] = memory.lo;
      words[i * 2 + 1] = memory.hi;
    }
    if (this.probe !== null) probeStructure(this.probe, 'context', CONTEXT, hi, lo, words);
    const fields = CONTEXT.decode(words);
    if (!fields.V || fields.MODE > MODE.NESTED || CONTEXT.reserved(words).length > 0) return CODE.BAD_CONTEXT;
    into.mode = fields.MODE;
    into.dirty = fields.DIRTY;
    into.tag = fields.TAG;
    into.gtag = fields.GTAG;
    into.rootLo = words[2]! & ~0xfff;
    into.rootHi = words[3]! | 0;
    into.grootLo = words[4]! & ~0xfff;
    into.grootHi = words[5]! | 0;
    return NONE;
  }

  private fetch(what: string, layout: typeof DEVICE_ENTRY | typeof SLOT, hi: number, lo: number): boolean {
    const { memory, words } = this;
    if (!memory.read64(hi, lo | 0)) return false;
    if (this.probe === null) return true;
    words[0] = memory.lo;
    words[1] = memory.hi;
    probeStructure(this.probe, what, layout, hi, lo, words.subarray(0, 2));
    return true;
  }
}
