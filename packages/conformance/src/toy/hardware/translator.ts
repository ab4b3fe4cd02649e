import {
  ACCESS,
  type DmaAnswer,
  type DmaRequest,
  OUTCOME,
  PERMISSION,
  type PhysicalMemory,
  REQUEST_KIND,
} from '@iommukit/core';
import { MODE } from '../format/context.ts';
import { CODE, type Code } from '../format/events.ts';
import { PAGE_LG2, PTE_BITS } from '../format/pte.ts';
import type { ToyHardwareConfig } from './config.ts';
import type { CachedContext, ContextLookup } from './context-lookup.ts';
import { reasonOf } from './reasons.ts';
import type { TranslationCache } from './translation-cache.ts';
import type { Walk } from './walk.ts';

/** Permission an access needs, as a bit of the entry. */
const NEEDS = { [ACCESS.READ]: PTE_BITS.R, [ACCESS.WRITE]: PTE_BITS.W, [ACCESS.EXECUTE]: PTE_BITS.X } as const;

/** From a request to an address: context, cache or walk, permission. */
export class Translator {
  private readonly memory: PhysicalMemory;
  private readonly config: ToyHardwareConfig;
  private readonly contexts: ContextLookup;
  private readonly cache: TranslationCache;
  private readonly walk: Walk;

  constructor(
    memory: PhysicalMemory,
    config: ToyHardwareConfig,
    contexts: ContextLookup,
    cache: TranslationCache,
    walk: Walk,
  ) {
    this.memory = memory;
    this.config = config;
    this.contexts = contexts;
    this.cache = cache;
    this.walk = walk;
  }

  /** Fills `answer`; returns the event code, 0 when translated. */
  translate(request: DmaRequest, answer: DmaAnswer): Code | 0 {
    const code = this.attempt(request, answer);
    if (code === 0) return 0;
    answer.outcome = OUTCOME.FAULT;
    answer.reason = reasonOf(code);
    answer.code = this.reported(code) ? code : -1;
    return code;
  }

  /** A blocked device is refused in silence unless CAPS.REPORT. */
  reported(code: Code): boolean {
    return code !== CODE.BLOCKED || this.config.reportsBlocked;
  }

  private attempt(request: DmaRequest, answer: DmaAnswer): Code | 0 {
    if (request.kind !== REQUEST_KIND.UNTRANSLATED) return CODE.UNSUPPORTED;
    const context = this.contexts.find(request.device, request.pasid < 0 ? 0 : request.pasid);
    if (context.code !== 0) return context.code;
    if (context.mode === MODE.BYPASS) return this.bypass(request, answer);
    if (request.iovaHi >>> 7 !== 0) return CODE.ADDRESS_SIZE;
    const frame = (request.iovaLo >>> PAGE_LG2) | (request.iovaHi << 20);
    let at = this.cache.find(context.tag, context.gtag, frame);
    if (at < 0) {
      const code = this.fill(context, request);
      if (code !== 0) return code;
      at = this.remember(context, frame);
    }
    return this.use(at, context, request, answer);
  }

  private fill(context: CachedContext, { iovaHi, iovaLo }: DmaRequest): Code | 0 {
    const { walk } = this;
    const { rootHi, rootLo, grootHi, grootLo } = context;
    if (context.mode === MODE.NESTED) return walk.nested(rootHi, rootLo, grootHi, grootLo, iovaHi, iovaLo);
    return walk.host(rootHi, rootLo, iovaHi, iovaLo);
  }

  private remember(context: CachedContext, frame: number): number {
    const { paHi, paLo, pageLg2, permissions } = this.walk;
    return this.cache.insert(context.tag, context.gtag, frame, pageLg2, paHi, paLo, this.effective(permissions));
  }

  private effective(permissions: number): number {
    let held = permissions;
    if (!this.config.writeOnly && (held & PTE_BITS.W) !== 0) held |= PTE_BITS.R;
    if (!this.config.execute) held = (held & PTE_BITS.R) !== 0 ? held | PTE_BITS.X : held & ~PTE_BITS.X;
    return held;
  }

  private use(at: number, context: CachedContext, request: DmaRequest, answer: DmaAnswer): Code | 0 {
    const { cache } = this;
    const held = cache.permissions[at]!;
    if ((held & NEEDS[request.access]) === 0) return CODE.PERMISSION;
    if (request.access === ACCESS.WRITE && context.dirty && cache.dirty[at] === 0) {
      const code = this.markDirty(context, request);
      if (code !== 0) return code;
      cache.dirty[at] = 1;
    }
    const pageLg2 = PAGE_LG2 + cache.levels[at]! * 9;
    answer.outcome = OUTCOME.TRANSLATED;
    answer.paHi = cache.paHi[at]!;
    answer.paLo = cache.paLo[at]! | (request.iovaLo & (2 ** pageLg2 - 1));
    answer.pageSizeLg2 = pageLg2;
    answer.permissions = permissionsOf(held, request);
    return 0;
  }

  /** The first write through a remembered leaf walks again, to find the leaf as it now stands. */
  private markDirty(context: CachedContext, request: DmaRequest): Code | 0 {
    const { walk, memory } = this;
    const code = this.fill(context, request);
    if (code !== 0) return code;
    if ((walk.permissions & PTE_BITS.W) === 0) return CODE.PERMISSION;
    if ((walk.leafLo & PTE_BITS.DIRTY) !== 0) return 0;
    return memory.write64(walk.leafAtHi, walk.leafAtLo, walk.leafHi, walk.leafLo | PTE_BITS.DIRTY)
      ? 0
      : CODE.FETCH_ABORT;
  }

  private bypass({ iovaHi, iovaLo }: DmaRequest, answer: DmaAnswer): Code | 0 {
    const { outputBits } = this.config;
    if (iovaHi >>> 0 >= 2 ** (outputBits - 32)) return CODE.ADDRESS_SIZE;
    answer.outcome = OUTCOME.BYPASS;
    answer.paHi = iovaHi;
    answer.paLo = iovaLo;
    answer.pageSizeLg2 = 64;
    answer.permissions = PERMISSION.READ | PERMISSION.WRITE;
    return 0;
  }
}

function permissionsOf(held: number, request: DmaRequest): number {
  const data = ((held & PTE_BITS.R) !== 0 ? PERMISSION.READ : 0) | ((held & PTE_BITS.W) !== 0 ? PERMISSION.WRITE : 0);
  return request.access === ACCESS.EXECUTE && (held & PTE_BITS.X) !== 0 ? data | PERMISSION.EXECUTE : data;
}
