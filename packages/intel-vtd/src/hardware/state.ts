import type { RegisterFile } from '@iommukit/bits';
import type { HardwarePorts, HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { GSTS, REGISTERS, TTM } from '../format/index.ts';
import type { Features } from './features.ts';

/** What the unit does with an untranslated request before it looks at any table. */
export const MODE = { OFF: 0, LEGACY: 1, SCALABLE: 2, INCONSISTENT: 3, ABORT: 4 } as const;
export type Mode = (typeof MODE)[keyof typeof MODE];

const bitOf = (field: { readonly lsb: number }): number => 1 << field.lsb;

/** GSTS bits as masks of a signed word. */
export const STATUS = {
  TES: bitOf(GSTS.fields.TES),
  RTPS: bitOf(GSTS.fields.RTPS),
  WBFS: bitOf(GSTS.fields.WBFS),
  QIES: bitOf(GSTS.fields.QIES),
  IRES: bitOf(GSTS.fields.IRES),
  IRTPS: bitOf(GSTS.fields.IRTPS),
  CFIS: bitOf(GSTS.fields.CFIS),
} as const;

const GSTS_WORD = REGISTERS.GSTS.at / 4;
const RTADDR_WORD = REGISTERS.RTADDR.at / 4;
const SSIRWE = 1 << 7;

/** What several parts of the unit read: its features, registers, and the root pointer it has latched. */
export class UnitState {
  readonly ports: HardwarePorts;
  readonly memory: PhysicalMemory;
  readonly features: Features;
  registers!: RegisterFile;
  words!: Int32Array;
  probe: HardwareProbe | null = null;
  mode: Mode = MODE.OFF;
  rootHi = 0;
  rootLo = 0;
  ttm: number = TTM.LEGACY;
  ssirwe = false;

  constructor(ports: HardwarePorts, features: Features) {
    this.ports = ports;
    this.memory = ports.memory;
    this.features = features;
  }

  get status(): number {
    return this.words[GSTS_WORD]!;
  }

  setStatus(mask: number, on: boolean): void {
    this.words[GSTS_WORD] = on ? this.words[GSTS_WORD]! | mask : this.words[GSTS_WORD]! & ~mask;
  }

  /** Takes RTADDR over, as SRTP does; writing the register alone changes nothing. */
  latchRoot(): void {
    const lo = this.words[RTADDR_WORD]!;
    this.rootHi = this.words[RTADDR_WORD + 1]!;
    this.rootLo = lo & -4096;
    this.ttm = (lo >>> 10) & 3;
    this.ssirwe = (lo & SSIRWE) !== 0;
  }

  forgetRoot(): void {
    this.rootHi = 0;
    this.rootLo = 0;
    this.ttm = TTM.LEGACY;
    this.ssirwe = false;
  }

  /** To be called after TES or the latched root changed. VT-d 3.4, RTA conditions. */
  refreshMode(): void {
    this.mode = (this.status & STATUS.TES) === 0 ? MODE.OFF : this.#translatingMode();
  }

  #translatingMode(): Mode {
    const { ecap } = this.features;
    if (this.ttm === TTM.ABORT_DMA) return ecap.ADMS ? MODE.ABORT : MODE.INCONSISTENT;
    if (this.ttm === TTM.LEGACY) return this.ssirwe ? MODE.INCONSISTENT : MODE.LEGACY;
    return this.ttm === TTM.SCALABLE && ecap.SMTS ? MODE.SCALABLE : MODE.INCONSISTENT;
  }
}
