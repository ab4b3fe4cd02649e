import { reader } from '@iommukit/bits';
import { EVENT } from '../format/events.ts';
import { CR2, REGISTERS } from '../format/registers.ts';
import { STE, STE_CONFIG } from '../format/ste.ts';
import type { ContextConfig } from './context-config.ts';
import type { Features } from './features.ts';
import { blockLevels, levelShift, stage2RootBits, stage2StartLevel, TG0_LG2 } from './geometry.ts';
import { stage2OutputBits, steIllegal } from './ste-legality.ts';
import { type Tags, WORLD, type World } from './tags.ts';

const f = STE.fields;
const config = reader(f.Config);
const s1Fmt = reader(f.S1Fmt);
const s1CdMax = reader(f.S1CDMax);
const s1Dss = reader(f.S1DSS);
const s1StallD = reader(f.S1STALLD);
const strw = reader(f.STRW);
const privCfg = reader(f.PRIVCFG);
const instCfg = reader(f.INSTCFG);
const s2Vmid = reader(f.S2VMID);
const s2T0Sz = reader(f.S2T0SZ);
const s2Sl0 = reader(f.S2SL0);
const s2Tg = reader(f.S2TG);
const s2Affd = reader(f.S2AFFD);
const s2Ptw = reader(f.S2PTW);
const s2Hd = reader(f.S2HD);
const s2Ha = reader(f.S2HA);
const s2S = reader(f.S2S);
const s2R = reader(f.S2R);
const e2h = reader(CR2.fields.E2H);

/** A stream table entry as the model keeps it: judged, taken apart into integers. Reused, never handed out. */
export class StreamConfig {
  readonly slot: number;
  sid = 0;
  /** 0 = legal, else the event of every request of this stream. */
  fault = 0;
  /** {@link STE_CONFIG}; every 0xx is ABORT. */
  config = 0;
  stage1 = false;
  stage2 = false;
  /** Translates requests without a substream, by CD 0 where stage 1 is on, and overrides none of their attributes. */
  plain = false;
  /** Two-level CD tables: log2 of the CDs in a leaf table; 0 = linear. */
  leafLg2 = 0;
  s1CdMax = 0;
  /** 0 terminate, 1 bypass, 2 substream 0. */
  s1Dss = 0;
  contextHi = 0;
  contextLo = 0;
  stallDisabled = false;
  world: World = WORLD.EL1;
  vmid = 0;
  /** Overrides of the request's attributes: 2 = off, 3 = on, else as they come. */
  privCfg = 0;
  instCfg = 0;
  s2InputBits = 0;
  s2OutputBits = 0;
  s2GranuleLg2 = 0;
  s2StartLevel = 0;
  s2RootShift = 0;
  s2RootMask = 0;
  s2Blocks = 0;
  /** Descriptor bits 15:12 are address bits 51:48. */
  s2Wide = false;
  s2TtbHi = 0;
  s2TtbLo = 0;
  s2Affd = false;
  s2Ptw = false;
  s2Dirty = false;
  s2Stall = false;
  /** Stage-2 faults leave a record. */
  s2Record = false;
  /** Tag of the stage-2 translations, held while stage 2 is on; else -1. */
  s2Tag = -1;
  /** The context of requests that use CD 0, once cached. */
  context0: ContextConfig | null = null;
  /** All cached contexts of the stream. */
  contexts: ContextConfig | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  /** Takes an STE's sixteen words apart. */
  load(words: Int32Array, registers: Int32Array, features: Features, tags: Tags): void {
    this.fault = steIllegal(words, features) ? EVENT.C_BAD_STE : 0;
    this.config = this.fault !== 0 || config(words, 0) < STE_CONFIG.BYPASS ? STE_CONFIG.ABORT : config(words, 0);
    this.leafLg2 = 0;
    this.s1CdMax = 0;
    this.stage1 = (this.config & 1) !== 0;
    this.stage2 = (this.config & 2) !== 0;
    this.plain = false;
    if (this.config === STE_CONFIG.ABORT) return;
    this.privCfg = features.permsOverride ? privCfg(words, 0) : 0;
    this.instCfg = features.permsOverride ? instCfg(words, 0) : 0;
    this.vmid = features.s2 ? s2Vmid(words, 0) & (features.vmid16 ? 0xffff : 0xff) : 0;
    if (this.stage1) this.loadStage1(words, registers, features);
    if (this.stage2) this.loadStage2(words, features, tags);
    const translates = this.stage1 ? this.s1CdMax === 0 || this.s1Dss === 2 : this.stage2;
    this.plain = translates && this.privCfg + this.instCfg === 0;
  }

  /** Lets go of what {@link load} took. */
  unload(tags: Tags): void {
    if (this.s2Tag >= 0) tags.release(this.s2Tag);
    this.s2Tag = -1;
  }

  private loadStage1(words: Int32Array, registers: Int32Array, features: Features): void {
    const format = s1Fmt(words, 0);
    this.s1CdMax = features.ssidBits === 0 ? 0 : s1CdMax(words, 0);
    this.leafLg2 = this.s1CdMax === 0 || format === 0 || format === 3 ? 0 : format === 1 ? 6 : 10;
    this.s1Dss = s1Dss(words, 0) === 3 ? 0 : s1Dss(words, 0);
    this.contextHi = words[1]! & 0x00ff_ffff;
    this.contextLo = words[0]! & ~0x3f;
    this.stallDisabled = s1StallD(words, 0) === 1;
    this.world = WORLD.EL1;
    if (features.hyp && this.config === STE_CONFIG.S1 && strw(words, 0) === 2)
      this.world = e2h(registers, REGISTERS.CR2.at / 4) === 1 ? WORLD.EL2_E2H : WORLD.EL2;
  }

  private loadStage2(words: Int32Array, features: Features, tags: Tags): void {
    const granule = TG0_LG2[s2Tg(words, 0)]!;
    this.s2GranuleLg2 = granule;
    this.s2InputBits = 64 - s2T0Sz(words, 0);
    this.s2OutputBits = stage2OutputBits(words, features);
    this.s2StartLevel = stage2StartLevel(granule, s2Sl0(words, 0), features.stt);
    const rootBits = stage2RootBits(granule, this.s2InputBits, this.s2StartLevel, features.oas);
    this.s2RootShift = levelShift(granule, this.s2StartLevel);
    this.s2RootMask = (1 << rootBits) - 1;
    this.s2Blocks = blockLevels(granule, features.oas);
    this.s2Wide = granule === 16 && features.oas >= 52;
    this.s2TtbHi = words[7]! & 0x00ff_ffff;
    this.s2TtbLo = words[6]! & -Math.max(8 << rootBits, this.s2OutputBits > 48 ? 64 : 16);
    this.s2Affd = s2Affd(words, 0) === 1 || (features.httu >= 1 && s2Ha(words, 0) === 1);
    this.s2Ptw = s2Ptw(words, 0) === 1;
    this.s2Dirty = features.httu >= 2 && s2Ha(words, 0) === 1 && s2Hd(words, 0) === 1;
    this.s2Stall = s2S(words, 0) === 1;
    this.s2Record = this.s2Stall || s2R(words, 0) === 1;
    this.s2Tag = tags.hold(WORLD.STAGE2, this.vmid, 0, 0);
  }
}
