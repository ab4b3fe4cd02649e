import { wordsToBytes } from '@iommukit/bits';
import { DESCRIPTORS, type DescriptorType, IQEI, REGISTERS, TTM } from '../format/index.ts';
import { DescriptorEffects } from './descriptor-effects.ts';
import type { EventMessage } from './event-message.ts';
import { FAULT_STATUS, type FaultRecorder } from './fault-recorder.ts';
import type { Invalidator } from './invalidator.ts';
import { STATUS, type UnitState } from './state.ts';

const IQH = REGISTERS.IQH.at / 4;
const IQT = REGISTERS.IQT.at / 4;
const IQA = REGISTERS.IQA.at / 4;
const IQERCD = REGISTERS.IQERCD.at / 4;
const WIDE = 1 << 11;
/** Widest address that QS can make an offset reach. */
const MAX_RING_LG2 = 19;
const LAST_LEGACY_TYPE = 5;

/** Reserved bits of a descriptor type, as eight words; everything past the layout is reserved too. */
function reservedOf({ layout }: DescriptorType): Int32Array {
  const all = new Uint32Array(layout.bits / 32).fill(0xffff_ffff);
  const words = new Int32Array(8).fill(-1);
  for (let i = 0; i < all.length; i++) words[i] = 0;
  for (const { msb, lsb } of layout.reserved(all))
    for (let bit = lsb; bit <= msb; bit++) words[bit >> 5]! |= 1 << (bit & 31);
  return words;
}

/** The invalidation queue: fetch, validate, carry out. VT-d 6.5.2. */
export class InvalidationQueue {
  private readonly state: UnitState;
  private readonly recorder: FaultRecorder;
  private readonly effects: DescriptorEffects;
  private readonly words = new Int32Array(8);
  private readonly reserved: readonly (Int32Array | undefined)[];

  constructor(state: UnitState, invalidator: Invalidator, recorder: FaultRecorder, completion: EventMessage) {
    this.state = state;
    this.recorder = recorder;
    this.effects = new DescriptorEffects(state, invalidator, completion);
    this.reserved = DESCRIPTORS.map((type) => (type === undefined ? undefined : reservedOf(type)));
    this.#adjustReserved();
  }

  /** Takes everything that is queued, or stops at the first bad descriptor. Bounded by the ring's size. */
  drain(): void {
    const { state } = this;
    if ((state.status & STATUS.QIES) === 0) return;
    while (!this.recorder.queueStopped && this.head !== this.tail) {
      const error = this.checkQueue() || this.step();
      if (error !== IQEI.NONE) {
        state.words[IQERCD] = error;
        this.recorder.setStatus(FAULT_STATUS.IQE);
        return;
      }
    }
  }

  /** With QIE off the head goes back to the ring's start. */
  restart(): void {
    this.state.words[IQH] = 0;
  }

  /** The IQE bit was cleared by software: its code goes with it. */
  errorCleared(): void {
    if (!this.recorder.queueStopped) this.state.words[IQERCD]! &= ~0xf;
  }

  private get head(): number {
    return this.state.words[IQH]!;
  }

  private get tail(): number {
    return this.state.words[IQT]!;
  }

  private get wide(): boolean {
    return (this.state.words[IQA]! & WIDE) !== 0;
  }

  private get ringBytes(): number {
    return 1 << Math.min(12 + (this.state.words[IQA]! & 7), MAX_RING_LG2);
  }

  /** Errors of the queue's registers, before anything is fetched. */
  private checkQueue(): number {
    const { ttm, features } = this.state;
    if (ttm === TTM.RESERVED) return IQEI.RESERVED_TTM;
    if (this.wide ? !features.ecap.SMTS && !features.ecap.ADMS : ttm !== TTM.LEGACY) return IQEI.WRONG_WIDTH;
    if (this.wide && (this.tail & 0x10) !== 0) return IQEI.TAIL_MISALIGNED;
    return this.tail >= this.ringBytes || this.head >= this.ringBytes ? IQEI.TAIL_BEYOND_QUEUE : IQEI.NONE;
  }

  private step(): number {
    if (!this.fetch()) return IQEI.FETCH_FAILED;
    const { words } = this;
    const type = (words[0]! & 0xf) | ((words[0]! >>> 5) & 0x70);
    const reserved = this.legal(type);
    if (reserved === undefined) return IQEI.BAD_TYPE;
    for (let i = 0; i < words.length; i++) if ((words[i]! & reserved[i]!) !== 0) return IQEI.RESERVED_FIELD;
    if (!this.effects.granularityIsLegal(type, words)) return IQEI.RESERVED_FIELD;
    const size = this.wide ? 32 : 16;
    this.state.words[IQH] = (this.head + size) & (this.ringBytes - 1);
    this.state.probe?.command?.('descriptor', wordsToBytes(words.subarray(0, size / 4)));
    this.effects.run(type, words);
    return IQEI.NONE;
  }

  /** The reserved bits of a type that may be queued now; undefined for one that may not. */
  private legal(type: number): Int32Array | undefined {
    const entry = DESCRIPTORS[type];
    if (entry === undefined) return undefined;
    if (this.state.ttm === TTM.LEGACY && type > LAST_LEGACY_TYPE) return undefined;
    if (entry.feature !== undefined && !this.state.features.ecap[entry.feature]) return undefined;
    return this.reserved[type];
  }

  private fetch(): boolean {
    const { state, words } = this;
    const { memory } = state;
    const baseHi = state.words[IQA + 1]!;
    const sum = ((state.words[IQA]! & -4096) >>> 0) + this.head;
    const hi = sum > 0xffff_ffff ? (baseHi + 1) | 0 : baseHi;
    const quads = this.wide ? 4 : 2;
    words.fill(0);
    for (let i = 0; i < quads; i++) {
      if (!memory.read64(hi, (sum | 0) + 8 * i)) return false;
      words[2 * i] = memory.lo;
      words[2 * i + 1] = memory.hi;
    }
    return true;
  }

  /** Fields that a missing capability turns into reserved ones. */
  #adjustReserved(): void {
    const { ecap } = this.state.features;
    if (!ecap.DIT)
      for (const type of [3, 8]) {
        this.reserved[type]![0]! |= 0xf000;
        this.reserved[type]![1]! |= 0xfff0_0000 | 0;
      }
    if (!ecap.PDS) this.reserved[5]![0]! |= 1 << 7;
  }
}
