import { toBig } from '@iommukit/bits';
import type { Observers } from '../observer.ts';
import { SparseMemory } from './sparse.ts';
import type { Region, SparseSource } from './sparse-source.ts';

/**
 * A memory port whose writes are told to observers, after they were done. Software and devices get this one on a
 * recording machine; hardware never does: what it writes, the model writes again on replay.
 */
export class ObservedMemory extends SparseMemory {
  readonly #observers: Observers;
  readonly #word = new Uint8Array(8);
  readonly #view = new DataView(this.#word.buffer);

  constructor(ram: readonly Region[] | SparseSource | undefined, observers: Observers) {
    super(ram);
    this.#observers = observers;
  }

  /** Another observed port on the same bytes. {@link port} gives an unobserved one. */
  observedPort(): ObservedMemory {
    return new ObservedMemory(this.bytes, this.#observers);
  }

  override write32(paHi: number, paLo: number, value: number): boolean {
    const done = super.write32(paHi, paLo, value);
    if (done) this.#tellWord(paHi, paLo & ~3, value, 0, 4);
    return done;
  }

  override write64(paHi: number, paLo: number, hi: number, lo: number): boolean {
    const done = super.write64(paHi, paLo, hi, lo);
    if (done) this.#tellWord(paHi, paLo & ~7, lo, hi, 8);
    return done;
  }

  override writeBytes(pa: bigint, bytes: Uint8Array): boolean {
    const done = super.writeBytes(pa, bytes);
    if (done) this.#observers.tell((observer) => observer.memory?.(pa, bytes, false));
    return done;
  }

  override poison(start: bigint, last: bigint): void {
    super.poison(start, last);
    this.#observers.tell((observer) => observer.poison?.(start, last));
  }

  override heal(): void {
    super.heal();
    this.#observers.tell((observer) => observer.heal?.());
  }

  #tellWord(paHi: number, paLo: number, lo: number, hi: number, size: 4 | 8): void {
    this.#view.setInt32(0, lo, true);
    this.#view.setInt32(4, hi, true);
    const pa = toBig(paHi, paLo);
    this.#observers.tell((observer) => observer.memory?.(pa, this.#word.subarray(0, size), true));
  }
}
