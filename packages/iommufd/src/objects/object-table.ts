import { IommuError } from '@iommukit/core';
import type { IommufdObject } from './object.ts';

const MAX_ID = 2 ** 31 - 1;
/** An id that answers ENOENT and is never handed out again. */
const TOMBSTONE = Symbol('tombstone');

/** Ids of one file: the lowest free one from 1 up, so ids come back after a destroy. */
export class ObjectTable {
  readonly #slots = new Map<number, IommufdObject | typeof TOMBSTONE>();
  /** No id below it is free. */
  #lowest = 1;

  /** Published objects, in order of id. */
  get objects(): IommufdObject[] {
    const all = [...this.#slots.values()].filter((slot) => slot !== TOMBSTONE);
    return all.sort((a, b) => a.id - b.id);
  }

  get size(): number {
    return this.objects.length;
  }

  /** Gives the object its id. */
  publish(object: IommufdObject): void {
    let id = this.#lowest;
    while (this.#slots.has(id)) id++;
    if (id > MAX_ID) throw new IommuError('ENOSPC', 'no id is left');
    this.#lowest = id + 1;
    this.#slots.set(id, object);
    object.id = id;
  }

  get(id: number): IommufdObject | null {
    const slot = this.#slots.get(id);
    return slot === undefined || slot === TOMBSTONE ? null : slot;
  }

  remove(object: IommufdObject): void {
    this.#slots.delete(object.id);
    if (object.id < this.#lowest) this.#lowest = object.id;
  }

  /** Removes the object but keeps its id from ever being used again. */
  bury(object: IommufdObject): void {
    this.#slots.set(object.id, TOMBSTONE);
  }
}
