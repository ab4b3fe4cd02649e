import { ContextConfig } from './context-config.ts';
import { enlarged, PairMap } from './pair-map.ts';
import { StreamConfig } from './stream-config.ts';
import type { Tags } from './tags.ts';

/** A cached level-1 table of descriptors: 64 bits each, by two integers. */
class DescriptorCache {
  readonly map: PairMap;
  lo: Int32Array;
  hi: Int32Array;

  constructor(limit: number) {
    this.map = new PairMap(limit);
    this.lo = new Int32Array(this.map.slots);
    this.hi = new Int32Array(this.map.slots);
  }

  store(a: number, b: number, hi: number, lo: number): void {
    if (this.map.full) this.map.remove(this.map.victim());
    const slot = this.map.add(a, b);
    if (slot >= this.lo.length) {
      this.lo = enlarged(this.lo, this.map.slots);
      this.hi = enlarged(this.hi, this.map.slots);
    }
    this.lo[slot] = lo;
    this.hi[slot] = hi;
  }

  drop(a: number, b: number): void {
    const slot = this.map.find(a, b);
    if (slot >= 0) this.map.remove(slot);
  }

  dropWhere(matches: (a: number, b: number) => boolean): void {
    for (let slot = 0; slot < this.map.slots; slot++)
      if (this.map.inUse(slot) && matches(this.map.firstOf(slot), this.map.secondOf(slot))) this.map.remove(slot);
  }
}

/**
 * The configuration cache: entries and descriptors stay until a CFGI command names them (IHI 0070 4.3), invalid ones
 * included. Contexts hang on their stream: what drops an STE drops its CDs.
 */
export class ConfigCache {
  /** L1STDs by index of the level-1 table. */
  readonly l1std: DescriptorCache;
  /** L1CDs by stream slot and index. */
  readonly l1cd: DescriptorCache;
  /** The stream asked for last: devices send many requests in a row. */
  recent: StreamConfig | null = null;
  private readonly tags: Tags;
  private readonly streamMap: PairMap;
  private readonly contextMap: PairMap;
  private readonly streams: StreamConfig[] = [];
  private readonly contexts: ContextConfig[] = [];
  /** The stream slot of each context. */
  private readonly owners: number[] = [];

  /** `limit` bounds streams and contexts each; a power of two. */
  constructor(tags: Tags, limit: number) {
    this.tags = tags;
    this.streamMap = new PairMap(limit);
    this.contextMap = new PairMap(limit);
    this.l1std = new DescriptorCache(limit);
    this.l1cd = new DescriptorCache(limit);
  }

  stream(sid: number): StreamConfig | null {
    const recent = this.recent;
    if (recent !== null && recent.sid === sid) return recent;
    const slot = this.streamMap.find(sid | 0, 0);
    if (slot < 0) return null;
    this.recent = this.streams[slot]!;
    return this.recent;
  }

  context(stream: StreamConfig, ssid: number): ContextConfig | null {
    if (ssid === 0) return stream.context0;
    const slot = this.contextMap.find(stream.slot, ssid);
    return slot < 0 ? null : this.contexts[slot]!;
  }

  /** An empty place for a stream that is not cached. */
  addStream(sid: number): StreamConfig {
    if (this.streamMap.full) this.removeStream(this.streams[this.streamMap.victim()]!);
    const slot = this.streamMap.add(sid | 0, 0);
    const stream = (this.streams[slot] ??= new StreamConfig(slot));
    stream.sid = sid;
    return stream;
  }

  addContext(stream: StreamConfig, ssid: number): ContextConfig {
    if (this.contextMap.full) this.removeContext(this.contexts[this.contextMap.victim()]!);
    const slot = this.contextMap.add(stream.slot, ssid);
    const context = (this.contexts[slot] ??= new ContextConfig(slot));
    context.ssid = ssid;
    this.owners[slot] = stream.slot;
    context.previous = null;
    context.next = stream.contexts;
    if (stream.contexts !== null) stream.contexts.previous = context;
    stream.contexts = context;
    if (ssid === 0) stream.context0 = context;
    return context;
  }

  removeContext(context: ContextConfig): void {
    const stream = this.streams[this.owners[context.slot]!]!;
    if (context.previous !== null) context.previous.next = context.next;
    else stream.contexts = context.next;
    if (context.next !== null) context.next.previous = context.previous;
    if (stream.context0 === context) stream.context0 = null;
    context.unload(this.tags);
    this.contextMap.remove(context.slot);
  }

  /** CFGI_CD: one context; the L1CD above it too unless `leaf`. */
  dropContext(sid: number, ssid: number, leaf: boolean): void {
    const stream = this.stream(sid);
    if (stream === null) return;
    const context = this.context(stream, ssid);
    if (context !== null) this.removeContext(context);
    if (!leaf && stream.leafLg2 !== 0) this.l1cd.drop(stream.slot, ssid >>> stream.leafLg2);
  }

  /** CFGI_CD_ALL: every context and L1CD of a stream. */
  dropContexts(sid: number): void {
    const stream = this.stream(sid);
    if (stream !== null) this.dropContextsOf(stream);
  }

  /** CFGI_STE: the entry and everything reached through it. */
  dropStream(sid: number): void {
    const stream = this.stream(sid);
    if (stream !== null) this.removeStream(stream);
  }

  /** CFGI_STE_RANGE: `count` streams from `first` on, by whichever is fewer: them, or what is cached. */
  dropStreams(first: number, count: number): void {
    if (count <= this.streamMap.size) {
      for (let i = 0; i < count; i++) this.dropStream(first + i);
      return;
    }
    for (let slot = 0; slot < this.streamMap.slots; slot++) {
      if (!this.streamMap.inUse(slot)) continue;
      const sid = this.streamMap.firstOf(slot) >>> 0;
      if (sid >= first && sid - first < count) this.removeStream(this.streams[slot]!);
    }
  }

  clear(): void {
    this.dropStreams(0, 2 ** 32);
    this.l1std.map.clear();
    this.l1cd.map.clear();
  }

  private removeStream(stream: StreamConfig): void {
    this.dropContextsOf(stream);
    if (this.recent === stream) this.recent = null;
    stream.unload(this.tags);
    this.streamMap.remove(stream.slot);
  }

  private dropContextsOf(stream: StreamConfig): void {
    while (stream.contexts !== null) this.removeContext(stream.contexts);
    if (stream.leafLg2 === 0) return;
    const tables = stream.s1CdMax > stream.leafLg2 ? 1 << (stream.s1CdMax - stream.leafLg2) : 1;
    if (tables <= this.l1cd.map.size) for (let i = 0; i < tables; i++) this.l1cd.drop(stream.slot, i);
    else this.l1cd.dropWhere((slot) => slot === stream.slot);
  }
}
