import { hiOf, loOf } from '@iommukit/bits';
import { RESV_SUBTYPE } from '../format/properties.ts';
import { atMost, FLIP } from './address.ts';
import type { ReservedSetting } from './settings.ts';

/** One region in five words: start, last (flipped halves) and subtype. */
const WORDS = 5;

/** The RESV_MEM regions of one endpoint, or of all endpoints that have none of their own. */
export class ReservedRegions {
  /** As configured, for PROBE. */
  readonly settings: readonly ReservedSetting[];
  private readonly words: Int32Array;

  constructor(settings: readonly ReservedSetting[]) {
    this.settings = settings;
    this.words = new Int32Array(settings.length * WORDS);
    settings.forEach(({ start, end, subtype }, i) => {
      const halves = [hiOf(start) ^ FLIP, loOf(start) ^ FLIP, hiOf(end) ^ FLIP, loOf(end) ^ FLIP];
      this.words.set([...halves, RESV_SUBTYPE[subtype]], i * WORDS);
    });
  }

  /** Word index of the first region that shares an address with `[start, last]` (flipped halves); -1 without. */
  touching(startHi: number, startLo: number, lastHi: number, lastLo: number): number {
    const { words } = this;
    for (let at = 0; at < words.length; at += WORDS) {
      if (
        atMost(words[at]!, words[at + 1]!, lastHi, lastLo) &&
        atMost(startHi, startLo, words[at + 2]!, words[at + 3]!)
      )
        return at;
    }
    return -1;
  }

  isMsi(region: number): boolean {
    return this.words[region + 4] === RESV_SUBTYPE.MSI;
  }

  /** Bounds of a region as flipped halves: start high and low, last high and low. */
  bound(region: number, half: 0 | 1 | 2 | 3): number {
    return this.words[region + half]!;
  }

  /** Calls `visit` with each region's bounds until it answers true. */
  some(visit: (startHi: number, startLo: number, lastHi: number, lastLo: number) => boolean): boolean {
    for (let at = 0; at < this.words.length; at += WORDS) {
      if (visit(this.words[at]!, this.words[at + 1]!, this.words[at + 2]!, this.words[at + 3]!)) return true;
    }
    return false;
  }
}

/** Which regions hold for which endpoint. */
export class RegionTable {
  private readonly common: ReservedRegions;
  private readonly special = new Map<number, ReservedRegions>();

  constructor(settings: readonly ReservedSetting[]) {
    this.common = new ReservedRegions(settings.filter(({ endpoint }) => endpoint === undefined));
    for (const { endpoint } of settings) {
      if (endpoint === undefined || this.special.has(endpoint | 0)) continue;
      const own = settings.filter((other) => other.endpoint === undefined || other.endpoint === endpoint);
      this.special.set(endpoint | 0, new ReservedRegions(own));
    }
  }

  /** `endpoint` as a signed 32-bit id. */
  of(endpoint: number): ReservedRegions {
    return this.special.get(endpoint) ?? this.common;
  }
}
