import { bytesToHex, hex, type Layout, wordsToBytes } from '@iommukit/bits';
import { type DmaAnswer, type DmaRequest, type HardwareModel, OUTCOME } from '@iommukit/core';
import { type JsonFields, jsonFields } from '../output/fields.ts';

/** One structure or descriptor that was read on the way of a translation. */
export interface Step {
  readonly what: string;
  readonly address: string;
  /** Bytes in memory order, hex. */
  readonly raw: string;
  readonly fields: JsonFields;
  /** The layout's own printed form, for people. */
  readonly text: string;
}

/**
 * Asks a model that was woken from a dump. Each answer is the one that the unit would give as its first after the
 * moment of the dump, whatever was asked before: caches are cold each time (a tag that two address spaces share by a
 * driver's mistake must not mix them up here), and when earlier faults of the same batch have filled a queue or a fault
 * register so that the next one is dropped or merged, the model is woken afresh and asked again.
 */
export class DumpTranslator {
  readonly #hardware: HardwareModel;
  readonly #frame: Uint8Array;
  /** Something was recorded since the model last woke: only then can the next record be lost to it. */
  #recorded = false;

  constructor(hardware: HardwareModel, frame: Uint8Array) {
    this.#hardware = hardware;
    this.#frame = frame;
  }

  translate(request: DmaRequest, answer: DmaAnswer): void {
    this.#hardware.dropCaches();
    this.#hardware.translate(request, answer);
    if (answer.outcome !== OUTCOME.FAULT) return;
    const silent = answer.code < 0;
    if (this.#recorded && answer.recordWords === 0 && !silent) this.#afresh(request, answer);
    if (answer.recordWords > 0) this.#recorded = true;
  }

  /** The same answer with everything the model read from memory for it, in order. */
  explain(request: DmaRequest, answer: DmaAnswer): Step[] {
    const steps: Step[] = [];
    this.#hardware.probe = {
      structure(what, address, layout, words) {
        steps.push(makeStep(what, address, layout, words));
      },
    };
    this.#afresh(request, answer);
    this.#hardware.probe = null;
    return steps;
  }

  #afresh(request: DmaRequest, answer: DmaAnswer): void {
    this.#hardware.wake(this.#frame);
    this.#recorded = false;
    this.#hardware.translate(request, answer);
  }
}

function makeStep(what: string, address: bigint, layout: Layout, words: Uint32Array): Step {
  const own = words.slice(0, Math.ceil(layout.bits / 32));
  return {
    what,
    address: hex(address),
    raw: bytesToHex(wordsToBytes(own)),
    fields: jsonFields(layout.decode(own)),
    text: layout.format(own),
  };
}
