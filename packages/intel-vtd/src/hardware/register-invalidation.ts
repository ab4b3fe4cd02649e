import { CC_G, IOTLB_AFTER_IVA, IOTLB_G, REGISTERS, TTM } from '../format/index.ts';
import type { Invalidator } from './invalidator.ts';
import type { UnitState } from './state.ts';

const CCMD = REGISTERS.CCMD.at / 4;
const BUSY = 1 << 31;
const IH = 1 << 6;
/** First major version without register-based invalidation. */
const REMOVED_MAJOR = 6;

/**
 * Register-based invalidation, VT-d 6.5.1: CCMD, and IOTLB with IVA. Works whatever TES says, but only in legacy mode
 * and on old parts; otherwise the request is answered with granularity 0, that is, nothing was done.
 */
export class RegisterInvalidation {
  private readonly state: UnitState;
  private readonly invalidator: Invalidator;
  private readonly iva: number;
  private readonly iotlb: number;
  private readonly finish = (): void => this.complete();

  constructor(state: UnitState, invalidator: Invalidator) {
    this.state = state;
    this.invalidator = invalidator;
    this.iva = (state.features.ecap.IRO * 16) / 4;
    this.iotlb = this.iva + IOTLB_AFTER_IVA / 4;
  }

  /** After a write of CCMD or IOTLB. */
  written(): void {
    this.state.ports.defer(this.finish);
  }

  private complete(): void {
    const { words, registers } = this.state;
    if (words[CCMD + 1]! < 0) this.context();
    if ('IOTLB' in registers.table && words[this.iotlb + 1]! < 0) this.translations();
  }

  private get offered(): boolean {
    return this.state.features.major < REMOVED_MAJOR && this.state.ttm === TTM.LEGACY;
  }

  private context(): void {
    const { words, features } = this.state;
    const hi = words[CCMD + 1]!;
    const lo = words[CCMD]!;
    const asked = this.offered ? (hi >>> 29) & 3 : 0;
    const did = lo & features.didMask;
    if (asked === CC_G.GLOBAL) this.invalidator.contextsAll();
    else if (asked === CC_G.DOMAIN) this.invalidator.contextsOfDomain(did);
    else if (asked === CC_G.DEVICE) this.invalidator.contextsOfDevice(lo >>> 16, hi & 3, did);
    words[CCMD + 1] = (hi & ~(BUSY | (3 << 27))) | (asked << 27);
  }

  private translations(): void {
    const { words, features } = this.state;
    const hi = words[this.iotlb + 1]!;
    const done = this.offered ? this.flush((hi >>> 28) & 3, hi & features.didMask) : 0;
    words[this.iotlb + 1] = (hi & ~(BUSY | (3 << 25))) | (done << 25);
  }

  /** Returns the granularity that was carried out: without CAP.PSI a page request flushes its whole domain. */
  private flush(asked: number, did: number): number {
    const { words, features } = this.state;
    const { cap } = features;
    if (asked === IOTLB_G.GLOBAL) this.invalidator.translationsAll();
    else if (asked === IOTLB_G.DOMAIN || (asked === IOTLB_G.PAGE && !cap.PSI)) {
      this.invalidator.translationsOfDomain(did);
      return IOTLB_G.DOMAIN;
    } else if (asked === IOTLB_G.PAGE) {
      const iva = words[this.iva]!;
      if ((iva & 0x3f) > cap.MAMV) return 0;
      this.invalidator.pages(did, iva & 0x3f, (iva & IH) !== 0, words[this.iva + 1]!, iva & -4096);
    }
    return asked;
  }
}
