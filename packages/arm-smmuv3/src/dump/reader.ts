import { hiOf, loOf, toBig } from '@iommukit/bits';
import {
  ACCESS,
  type Access,
  type DumpMapping,
  type DumpReader,
  type PhysicalMemory,
  type QueueEntry,
} from '@iommukit/core';
import { EVENT } from '../format/events.ts';
import type { ContextConfig, Half } from '../hardware/context-config.ts';
import type { SmmuHardware } from '../hardware/hardware.ts';
import { STAGE1_ALL, STAGE2_ALL, stage1Need, stage1Rights, stage2Need, stage2Rights } from '../hardware/permission.ts';
import type { StreamConfig } from '../hardware/stream-config.ts';
import { type Leaf, LeafReader, type TableShape } from './leaves.ts';
import { RING_NAMES, ringEntries } from './rings.ts';

interface Device {
  readonly device: number;
  readonly pasid: number | null;
}

const READ = 1;
const WRITE = 2;
/** STE.PRIVCFG = privileged, STE.INSTCFG = instruction. */
const OVERRIDE_ON = 3;
const STES_PER_PAGE = 64;
const CDS_PER_PAGE = 64;

/** What a unit's tables say, read through its own hardware half. */
export class SmmuDump implements DumpReader {
  readonly hardware: SmmuHardware;
  readonly queues = RING_NAMES;
  readonly #memory: PhysicalMemory;
  readonly #tables: LeafReader;

  constructor(memory: PhysicalMemory, hardware: SmmuHardware) {
    this.hardware = hardware;
    this.#memory = memory;
    this.#tables = new LeafReader(memory);
  }

  queue(name: string): Iterable<QueueEntry> {
    const { registers, features } = this.hardware.unit;
    return ringEntries(name, registers, this.#memory, features);
  }

  *devices(): Iterable<Device> {
    if (!this.hardware.unit.enabled) return;
    for (const sid of this.#streamIds()) {
      // What stage 2 of one stream says of its tables is not what another's says, even under the same VMID.
      this.hardware.dropTranslations();
      const stream = this.hardware.streams.find(sid);
      if (stream !== null && (stream.stage1 || stream.stage2)) yield* this.#substreams(stream);
    }
  }

  *mappings(device: number, pasid: number | null): Iterable<DumpMapping> {
    if (!this.hardware.unit.enabled) return;
    this.hardware.dropTranslations();
    const stream = this.hardware.streams.find(device);
    const way = stream === null ? null : this.#way(stream, pasid);
    if (stream === null || way === null) return;
    this.#tables.idle = 0;
    for (const found of way === 'stage 2' ? this.#stage2(stream) : this.#stage1(stream, way)) {
      this.#tables.idle = 0;
      yield found;
    }
  }

  /** StreamIDs inside the table whose entry might be readable. */
  *#streamIds(): Iterable<number> {
    const { streams } = this.hardware;
    const total = 2 ** streams.sizeLg2;
    const split = streams.splitLg2;
    const group = split === 0 ? STES_PER_PAGE : 2 ** split;
    for (let first = 0; first < total; first += group) {
      for (let sid = first; sid < Math.min(first + group, total); sid++) {
        if (streams.find(sid) !== null) yield sid;
        else if (streams.fault === EVENT.C_BAD_STREAMID || split === 0) break;
      }
    }
  }

  *#substreams(stream: StreamConfig): Iterable<Device> {
    const { sid } = stream;
    if (this.#way(stream, null) !== null) yield { device: sid, pasid: null };
    const total = stream.s1CdMax === 0 ? 0 : 2 ** stream.s1CdMax;
    const group = stream.leafLg2 === 0 ? CDS_PER_PAGE : 2 ** stream.leafLg2;
    for (let first = 0; first < total; first += group) {
      for (let ssid = first; ssid < Math.min(first + group, total); ssid++) {
        if (this.#way(stream, ssid) !== null) yield { device: sid, pasid: ssid };
        else if (this.#tableMissing(stream, ssid)) break;
      }
    }
  }

  /** The CD's own table (or its page) cannot be reached: its neighbours need no look. */
  #tableMissing(stream: StreamConfig, ssid: number): boolean {
    return this.hardware.contexts.find(stream, ssid) === null;
  }

  /** How a request translates: by a context, by stage 2 alone, or not at all. */
  #way(stream: StreamConfig, pasid: number | null): ContextConfig | 'stage 2' | null {
    const { s1CdMax, s1Dss } = stream;
    if (pasid !== null) {
      const usable = stream.stage1 && s1CdMax > 0 && pasid < 2 ** s1CdMax && !(pasid === 0 && s1Dss === 2);
      return usable ? this.#context(stream, pasid) : null;
    }
    if (stream.stage1 && (s1CdMax === 0 || s1Dss === 2)) return this.#context(stream, 0);
    if (stream.stage1 && s1Dss === 0) return null;
    return stream.stage2 ? 'stage 2' : null;
  }

  #context(stream: StreamConfig, ssid: number): ContextConfig | null {
    const context = this.hardware.contexts.find(stream, ssid);
    return context === null || context.fault !== 0 ? null : context;
  }

  *#stage2(stream: StreamConfig): Iterable<DumpMapping> {
    const last = (1n << BigInt(stream.s2InputBits)) - 1n;
    for (const leaf of this.#stage2Leaves(stream, 0n, last))
      yield mapping(
        leaf.input,
        leaf.output,
        leaf.sizeLg2,
        dataRights(stream, this.#stage2Rights(stream, leaf) | STAGE1_ALL),
      );
  }

  *#stage1(stream: StreamConfig, context: ContextConfig): Iterable<DumpMapping> {
    for (const half of [context.half0, context.half1]) {
      if (!half.enabled) continue;
      const size = 1n << BigInt(half.inputBits);
      const base = half === context.half0 ? 0n : (1n << 64n) - size;
      const shape = this.#shape1(half, context.affd);
      for (const leaf of this.#tables.leaves(shape, 0n, size - 1n, (at) => this.#locate(stream, at)))
        yield* this.#stage1Leaf(stream, context, half, leaf, base);
    }
  }

  *#stage1Leaf(s: StreamConfig, context: ContextConfig, half: Half, leaf: Leaf, base: bigint): Iterable<DumpMapping> {
    const hidden = half.e0pd && s.privCfg !== OVERRIDE_ON;
    const rights = hidden ? 0 : stage1Rights(leaf.lo, leaf.hi, half.had ? 0 : leaf.above, context.control);
    if (!s.stage2) {
      yield mapping(base + leaf.input, leaf.output, leaf.sizeLg2, dataRights(s, rights | STAGE2_ALL));
      return;
    }
    const size = 1n << BigInt(leaf.sizeLg2);
    for (const piece of this.#stage2Leaves(s, leaf.output, leaf.output + size - 1n)) {
      const lg2 = Math.min(leaf.sizeLg2, piece.sizeLg2);
      const ipa = piece.input > leaf.output ? piece.input : leaf.output;
      const iova = base + leaf.input + (ipa - leaf.output);
      yield mapping(
        iova,
        piece.output + (ipa - piece.input),
        lg2,
        dataRights(s, rights | this.#stage2Rights(s, piece)),
      );
    }
  }

  #stage2Leaves(stream: StreamConfig, first: bigint, last: bigint): Iterable<Leaf> {
    return this.#tables.leaves(this.#shape2(stream), first, last, (at) => at);
  }

  #stage2Rights(stream: StreamConfig, leaf: Leaf): number {
    return stage2Rights(leaf.lo, leaf.hi, this.hardware.unit.features.xnx, stream.s2Dirty);
  }

  /** A stage-1 table's address in physical memory. */
  #locate(stream: StreamConfig, address: bigint): bigint | null {
    if (!stream.stage2) return address;
    const { stage2 } = this.hardware;
    if (stage2.resolve(stream, hiOf(address), loOf(address)) !== 0 || stage2.structureRead(stream) !== 0) return null;
    return toBig(stage2.paHi, stage2.paLo);
  }

  #shape1(half: Half, affd: boolean): TableShape {
    return { ...half, rootHi: half.ttbHi, rootLo: half.ttbLo, affd };
  }

  #shape2(stream: StreamConfig): TableShape {
    return {
      granuleLg2: stream.s2GranuleLg2,
      startLevel: stream.s2StartLevel,
      rootShift: stream.s2RootShift,
      rootMask: stream.s2RootMask,
      blocks: stream.s2Blocks,
      outputBits: stream.s2OutputBits,
      rootHi: stream.s2TtbHi,
      rootLo: stream.s2TtbLo,
      wide: stream.s2Wide,
      affd: stream.s2Affd,
    };
  }
}

/** What a plain read and a plain write of this stream may do, as its PRIVCFG and INSTCFG make them. */
function dataRights(stream: StreamConfig, rights: number): number {
  const privileged = stream.privCfg === OVERRIDE_ON;
  const read = stream.instCfg === OVERRIDE_ON ? ACCESS.EXECUTE : ACCESS.READ;
  const allowed = (access: Access) =>
    (rights & stage1Need(access, privileged)) !== 0 && (rights & stage2Need(access, privileged)) !== 0;
  return (allowed(read) ? READ : 0) | (allowed(ACCESS.WRITE) ? WRITE : 0);
}

function mapping(iova: bigint, pa: bigint, sizeLg2: number, permissions: number): DumpMapping {
  const size = 1n << BigInt(sizeLg2);
  return { iova, pa, size, pageSize: size, permissions };
}
