import type { Values } from '@iommukit/bits';
import type { DmaPages, PhysicalMemory } from '@iommukit/core';
import { CONTEXT } from '../format/context.ts';
import { write64 } from './device-table.ts';

type ContextFields = Partial<Values<typeof CONTEXT.fields>>;

/** A domain's context in memory. It is written before any slot points at it. */
export class Context {
  readonly pa: number;
  readonly #memory: PhysicalMemory;
  readonly #pages: DmaPages;
  #fields: ContextFields;

  /** ENOMEM. */
  constructor(memory: PhysicalMemory, pages: DmaPages, fields: ContextFields) {
    this.#memory = memory;
    this.#pages = pages;
    this.#fields = { ...fields, V: true };
    this.pa = pages.alloc(CONTEXT.bytes);
    const words = CONTEXT.encode(this.#fields);
    for (let i = 3; i >= 0; i--) write64(memory, this.pa + i * 8, words, i * 2);
  }

  /** Changes flags of the first word; the caller invalidates the tag. */
  update(flags: Pick<ContextFields, 'SNOOP' | 'DIRTY'>): void {
    this.#fields = { ...this.#fields, ...flags };
    write64(this.#memory, this.pa, CONTEXT.encode(this.#fields));
  }

  free(): void {
    this.#pages.free(this.pa);
  }
}
