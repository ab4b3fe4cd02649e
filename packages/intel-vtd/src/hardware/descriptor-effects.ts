import { CC_G, DESCRIPTOR_TYPE, HPT_G, IOTLB_G, P_IOTLB_G, PC_G, REGISTERS, TTM } from '../format/index.ts';
import type { EventMessage } from './event-message.ts';
import type { Invalidator } from './invalidator.ts';
import type { UnitState } from './state.ts';

const ICS = REGISTERS.ICS.at / 4;
const IWC = 1;
const IH = 1 << 6;
const WAIT_IF = 1 << 4;
const WAIT_SW = 1 << 5;

type Words = Int32Array;
const granularity = (words: Words): number => (words[0]! >>> 4) & 3;
const pasidOf = (words: Words): number => words[1]! & 0xf_ffff;
const maskOf = (words: Words): number => words[2]! & 0x3f;

/** What each descriptor does once it was found legal. VT-d 6.5.2. */
export class DescriptorEffects {
  private readonly state: UnitState;
  private readonly invalidator: Invalidator;
  private readonly completion: EventMessage;
  private readonly run_: Readonly<Record<number, (words: Words) => void>>;
  private readonly legal: Readonly<Record<number, (words: Words) => boolean>>;

  constructor(state: UnitState, invalidator: Invalidator, completion: EventMessage) {
    this.state = state;
    this.invalidator = invalidator;
    this.completion = completion;
    this.run_ = {
      [DESCRIPTOR_TYPE.CC]: (words) => this.contextCache(words),
      [DESCRIPTOR_TYPE.IOTLB]: (words) => this.iotlb(words),
      [DESCRIPTOR_TYPE.WAIT]: (words) => this.wait(words),
      [DESCRIPTOR_TYPE.P_IOTLB]: (words) => this.pasidIotlb(words),
      [DESCRIPTOR_TYPE.PC]: (words) => this.pasidCache(words),
    };
    this.legal = {
      [DESCRIPTOR_TYPE.CC]: (words) => granularity(words) !== 0,
      [DESCRIPTOR_TYPE.IOTLB]: (words) => this.iotlbIsLegal(words),
      [DESCRIPTOR_TYPE.P_IOTLB]: (words) => granularity(words) >= P_IOTLB_G.PASID,
      [DESCRIPTOR_TYPE.PC]: (words) => granularity(words) !== 2,
      [DESCRIPTOR_TYPE.HPT]: (words) => granularity(words) >= HPT_G.GLOBAL,
    };
  }

  granularityIsLegal(type: number, words: Words): boolean {
    return this.legal[type]?.(words) ?? true;
  }

  /** Types without an entry (device TLB, interrupt entries, page responses) complete at once: nothing is behind them. */
  run(type: number, words: Words): void {
    this.run_[type]?.(words);
  }

  /** DID bits above CAP.ND's width are ignored here, unlike in the structures. */
  private did(words: Words): number {
    return (words[0]! >>> 16) & this.state.features.didMask;
  }

  /** A page range needs CAP.PSI and a mask within CAP.MAMV; beyond it the manual leaves it to us: an invalid field. */
  private iotlbIsLegal(words: Words): boolean {
    const { cap } = this.state.features;
    if (granularity(words) !== IOTLB_G.PAGE) return granularity(words) !== 0;
    return cap.PSI && maskOf(words) <= cap.MAMV;
  }

  /** In scalable mode entries carry no domain: a domain's is everyone's, and a device's heeds no DID. */
  private contextCache(words: Words): void {
    const scalable = this.state.ttm === TTM.SCALABLE;
    const g = granularity(words);
    if (g === CC_G.GLOBAL || (scalable && g === CC_G.DOMAIN)) this.invalidator.contextsAll();
    else if (g === CC_G.DOMAIN) this.invalidator.contextsOfDomain(this.did(words));
    else this.invalidator.contextsOfDevice(words[1]! & 0xffff, (words[1]! >>> 16) & 3, scalable ? -1 : this.did(words));
  }

  private iotlb(words: Words): void {
    const g = granularity(words);
    if (g === IOTLB_G.GLOBAL) this.invalidator.translationsAll();
    else if (g === IOTLB_G.DOMAIN) this.invalidator.translationsOfDomain(this.did(words));
    else this.invalidator.pages(this.did(words), maskOf(words), (words[2]! & IH) !== 0, words[3]!, words[2]! & -4096);
  }

  private pasidIotlb(words: Words): void {
    const did = this.did(words);
    const pasid = pasidOf(words);
    if (granularity(words) === P_IOTLB_G.PASID) this.invalidator.translationsOfPasid(did, pasid);
    else this.invalidator.pagesOfPasid(did, pasid, maskOf(words), (words[2]! & IH) !== 0, words[3]!, words[2]! & -4096);
  }

  private pasidCache(words: Words): void {
    const g = granularity(words);
    if (g === PC_G.GLOBAL) this.invalidator.pasidsAll();
    else if (g === PC_G.DOMAIN) this.invalidator.pasidsOfDomain(this.did(words));
    else this.invalidator.pasid(this.did(words), pasidOf(words));
  }

  /** The status write comes before the interrupt. Everything earlier is done by now, so FN has nothing to hold back. */
  private wait(words: Words): void {
    const { memory, features, words: registers } = this.state;
    if ((words[0]! & WAIT_SW) !== 0)
      memory.write32(words[3]! & ~features.pointerRsvdHi, words[2]! & -4 & ~features.pointerRsvdLo, words[1]!);
    if ((words[0]! & WAIT_IF) === 0) return;
    const already = this.completion.pending;
    registers[ICS]! |= IWC;
    this.completion.raise(already);
  }
}
