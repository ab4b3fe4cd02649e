import { reader } from '@iommukit/bits';
import { CD } from '../format/cd.ts';
import { EVENT } from '../format/events.ts';
import {
  type ContextWorld,
  cdIllegal,
  halfEnabled,
  halfGranule,
  halfInputBits,
  halfOutputBits,
} from './cd-legality.ts';
import type { Features } from './features.ts';
import { blockLevels, levelShift, stage1StartLevel } from './geometry.ts';
import { S1_CONTROL } from './permission.ts';
import type { StreamConfig } from './stream-config.ts';
import { type Tags, WORLD } from './tags.ts';

const f = CD.fields;
const asid = reader(f.ASID);
const aset = reader(f.ASET);
const affd = reader(f.AFFD);
const ha = reader(f.HA);
const hd = reader(f.HD);
const wxn = reader(f.WXN);
const pan = reader(f.PAN);
const epan = reader(f.EPAN);
const stall = reader(f.S);
const record = reader(f.R);
const tbi = [reader(f.TBI0), reader(f.TBI1)] as const;
const had = [reader(f.HAD0), reader(f.HAD1)] as const;
const e0pd = [reader(f.E0PD0), reader(f.E0PD1)] as const;

/** One half of a stage-1 address space, as the walk needs it. */
export class Half {
  /** False: EPDx=1, or a world without this half. */
  enabled = false;
  inputBits = 0;
  outputBits = 0;
  granuleLg2 = 0;
  startLevel = 0;
  rootShift = 0;
  rootMask = 0;
  blocks = 0;
  /** Descriptor bits 15:12 are address bits 51:48. */
  wide = false;
  ttbHi = 0;
  ttbLo = 0;
  /** VA bits 63:56 are ignored. */
  tbi = false;
  /** Hierarchical permissions count for nothing. */
  had = false;
  /** Unprivileged accesses fault as if nothing were mapped. */
  e0pd = false;
  /** Enabled, with neither TBI nor E0PD. */
  plain = false;
}

/** A context descriptor as the model keeps it: judged, taken apart into integers. Reused, never handed out. */
export class ContextConfig {
  readonly slot: number;
  ssid = 0;
  /** 0 = legal, else the event of every request of this context. */
  fault = 0;
  readonly half0 = new Half();
  readonly half1 = new Half();
  /** {@link S1_CONTROL} bits. */
  control = 0;
  affd = false;
  stall = false;
  /** Stage-1 faults leave a record. */
  record = false;
  /** Tags of its own and of the global translations, held while {@link fault} is 0; else -1. */
  tag = -1;
  globalTag = -1;
  /** Contexts of one stream hang together. */
  next: ContextConfig | null = null;
  previous: ContextConfig | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  /** Takes a CD's sixteen words apart. */
  load(words: Int32Array, stream: StreamConfig, features: Features, tags: Tags): void {
    const el2 = stream.world === WORLD.EL2;
    const world: ContextWorld = { el2, stallDisabled: stream.stallDisabled };
    this.fault = cdIllegal(words, features, world) ? EVENT.C_BAD_CD : 0;
    if (this.fault !== 0) return;
    const dirty = features.httu >= 2 && ha(words, 0) === 1 && hd(words, 0) === 1;
    this.control =
      (pan(words, 0) ? S1_CONTROL.PAN : 0) |
      (features.epan && epan(words, 0) ? S1_CONTROL.EPAN : 0) |
      (wxn(words, 0) ? S1_CONTROL.WXN : 0) |
      (el2 ? S1_CONTROL.EL2 : 0) |
      (dirty ? S1_CONTROL.HD : 0);
    this.affd = affd(words, 0) === 1 || (features.httu >= 1 && ha(words, 0) === 1);
    this.stall = stall(words, 0) === 1;
    this.record = this.stall || record(words, 0) === 1;
    loadHalf(this.half0, words, 0, world, features);
    loadHalf(this.half1, words, 1, world, features);
    const number = el2 ? 0 : asid(words, 0) & (features.asid16 ? 0xffff : 0xff);
    const vmid = stream.world === WORLD.EL1 ? stream.vmid : 0;
    this.tag = tags.hold(stream.world, vmid, number, el2 ? 0 : aset(words, 0));
    this.globalTag = tags.holdGlobal(stream.world, vmid, el2 ? 0 : aset(words, 0));
  }

  /** Lets go of what {@link load} took. */
  unload(tags: Tags): void {
    if (this.tag >= 0) tags.release(this.tag);
    if (this.globalTag >= 0) tags.release(this.globalTag);
    this.tag = -1;
    this.globalTag = -1;
  }
}

function loadHalf(half: Half, words: Int32Array, index: 0 | 1, world: ContextWorld, features: Features): void {
  half.enabled = halfEnabled(words, index, world);
  half.tbi = tbi[index](words, 0) === 1;
  half.e0pd = features.e0pd && !world.el2 && e0pd[index](words, 0) === 1;
  half.plain = half.enabled && !half.tbi && !half.e0pd;
  if (!half.enabled) return;
  const granule = halfGranule(words, index);
  half.granuleLg2 = granule;
  half.inputBits = halfInputBits(words, index);
  half.outputBits = halfOutputBits(words, index, features);
  half.startLevel = stage1StartLevel(granule, half.inputBits);
  half.rootShift = levelShift(granule, half.startLevel);
  const rootBits = half.inputBits - half.rootShift;
  half.rootMask = (1 << rootBits) - 1;
  half.blocks = blockLevels(granule, features.oas);
  half.wide = granule === 16 && features.oas >= 52;
  half.had = features.had && had[index](words, 0) === 1;
  half.ttbHi = words[3 + 2 * index]! & 0x00ff_ffff;
  half.ttbLo = words[2 + 2 * index]! & -Math.max(8 << rootBits, half.outputBits > 48 ? 64 : 16);
}

/** VA bits above the half's input size must all equal bit 55 (`sign` is 0 or -1); TBI has been applied. */
export function outOfRange(half: Half, hi: number, lo: number, sign: number): boolean {
  const bits = half.inputBits;
  const high = hi ^ sign;
  return bits >= 32 ? high >>> (bits - 32) !== 0 : high !== 0 || (lo ^ sign) >>> bits !== 0;
}
