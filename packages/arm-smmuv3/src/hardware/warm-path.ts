import { type DmaAnswer, type DmaRequest, OUTCOME, REQUEST_KIND } from '@iommukit/core';
import type { ConfigCache } from './config-cache.ts';
import { Half, outOfRange } from './context-config.ts';
import { answerPermissions, stage1Need, stage2Need } from './permission.ts';
import type { TranslationCache } from './translation-cache.ts';
import { ADDRESS_HI, ENTRY, FLAGS_SHIFT, SIZE_MASK } from './translation-entry.ts';
import type { UnitState } from './unit.ts';

const { IN_LO, OUT_HI, OUT_LO } = ENTRY;
const HIGH = FLAGS_SHIFT;
const ADDRESS = ADDRESS_HI;
const SIZE = SIZE_MASK;

/** The rights an access needs of both stages, by access + 3 * privileged. */
const NEEDS = Int32Array.from([0, 1, 2, 3, 4, 5], (i) => stage1Need(i % 3, i >= 3) | stage2Need(i % 3, i >= 3));

/**
 * What nearly every request is: from the stream that asked last, without a substream, cached and allowed. Kept small so
 * that it compiles into one piece; whatever is unusual goes the whole way, which comes to the same answer.
 */
export class WarmPath {
  /** The tag under which the last address was looked for in vain; -1 = it was not looked for. */
  missed = -1;
  /** After a miss of a stream with stage 1: the half of its context that the address is in. */
  half = new Half();
  private readonly unit: UnitState;
  private readonly config: ConfigCache;
  private readonly cache: TranslationCache;

  constructor(unit: UnitState, config: ConfigCache, cache: TranslationCache) {
    this.unit = unit;
    this.config = config;
    this.cache = cache;
  }

  /** True when `answer` is complete. */
  translate(request: DmaRequest, answer: DmaAnswer): boolean {
    this.missed = -1;
    const stream = this.config.recent;
    if (stream === null || stream.sid !== request.device || !stream.plain || !this.unit.enabled) return false;
    if (request.pasid !== -1 || request.kind !== REQUEST_KIND.UNTRANSLATED) return false;
    const hi = request.iovaHi;
    const lo = request.iovaLo;
    let tag = stream.s2Tag;
    if (stream.stage1) {
      const context = stream.context0;
      if (context === null || context.fault !== 0) return false;
      const upper = (hi >>> 23) & 1;
      const half = upper === 0 ? context.half0 : context.half1;
      if (!half.plain || outOfRange(half, hi, lo, -upper)) return false;
      this.half = half;
      tag = context.tag;
    }
    const at = this.cache.find(tag, hi, lo);
    if (at < 0) {
      this.missed = tag;
      return false;
    }
    const words = this.cache.words;
    const out = words[at | OUT_HI]!;
    const rights = out >>> HIGH;
    const need = NEEDS[request.privileged ? request.access + 3 : request.access]!;
    if ((rights & need) !== need) return false;
    const lg2 = words[at | IN_LO]! & SIZE;
    answer.outcome = OUTCOME.TRANSLATED;
    const high = out & ADDRESS;
    answer.paHi = lg2 < 32 ? high : high | (hi & ((1 << (lg2 - 32)) - 1));
    answer.paLo = lg2 < 32 ? (words[at | OUT_LO]! & (-1 << lg2)) | (lo & ((1 << lg2) - 1)) : lo;
    answer.pageSizeLg2 = lg2;
    answer.permissions = answerPermissions(rights, request.access, request.privileged);
    return true;
  }
}
