import { wordsToBytes } from '@iommukit/bits';
import type { HardwareProbe, PhysicalMemory } from '@iommukit/core';
import { CONTEXT_COMMAND, OP, TRANSLATION_COMMAND } from '../format/commands.ts';
import { PAGE_LG2 } from '../format/pte.ts';
import type { ContextLookup } from './context-lookup.ts';
import type { TranslationCache } from './translation-cache.ts';

/** Carries out one command; false for one that is not legal. */
export class CommandConsumer {
  probe: HardwareProbe | null = null;
  private readonly memory: PhysicalMemory;
  private readonly contexts: ContextLookup;
  private readonly cache: TranslationCache;
  private readonly words = new Uint32Array(4);

  constructor(memory: PhysicalMemory, contexts: ContextLookup, cache: TranslationCache) {
    this.memory = memory;
    this.contexts = contexts;
    this.cache = cache;
  }

  take(hi: number, lo: number): boolean {
    const { memory, words } = this;
    for (let i = 0; i < 2; i++) {
      if (!memory.read64(hi, (lo + i * 8) | 0)) return false;
      words[i * 2] = memory.lo;
      words[i * 2 + 1] = memory.hi;
    }
    this.probe?.command?.('command', wordsToBytes(words));
    return this.aboutContexts() || this.aboutTranslations();
  }

  private aboutContexts(): boolean {
    const { contexts, words } = this;
    const { OP: op, DEVICE, PASID } = CONTEXT_COMMAND.decode(words);
    if (CONTEXT_COMMAND.reserved(words).length > 0) return false;
    if (op === OP.INV_DEVICE) contexts.forgetDevice(DEVICE);
    else if (op === OP.INV_SLOT) contexts.forgetSlot(DEVICE, PASID);
    else return false;
    return true;
  }

  private aboutTranslations(): boolean {
    const { cache, words } = this;
    const { OP: op, TAG, GTAG, COUNT, ADDR } = TRANSLATION_COMMAND.decode(words);
    if (TRANSLATION_COMMAND.reserved(words).length > 0) return false;
    const frame = Number(BigInt.asUintN(32, ADDR >> BigInt(PAGE_LG2)));
    const last = frame + COUNT;
    if (op === OP.INV_TAG) this.forgetTag(TAG);
    else if (op === OP.INV_RANGE) cache.forgetRange(TAG, frame, last);
    else if (op === OP.INV_GUEST) cache.forgetGuest(TAG, GTAG);
    else if (op === OP.INV_GUEST_RANGE) cache.forgetGuestRange(TAG, GTAG, frame, last);
    else return false;
    return true;
  }

  private forgetTag(tag: number): void {
    this.cache.forgetTag(tag);
    this.contexts.forgetTag(tag);
  }
}
