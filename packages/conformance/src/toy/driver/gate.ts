/**
 * Keeps fault reports out of operations: an interrupt may come between any two register accesses, but listeners are
 * called when the outermost operation is over.
 */
export class Gate {
  /** What an interrupt asks for. */
  work: () => void = () => {};
  #depth = 0;
  #pending = false;

  /** Runs one operation of the driver. */
  run<T>(operation: () => T): T {
    this.#depth++;
    try {
      return operation();
    } finally {
      this.#depth--;
      if (this.#depth === 0 && this.#pending) this.interrupt();
    }
  }

  /** Now, or after the operation in progress. */
  interrupt(): void {
    this.#pending = this.#depth > 0;
    if (!this.#pending) this.work();
  }
}
