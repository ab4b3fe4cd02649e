/**
 * Keeps interrupt work out of operations. Interrupts arrive between any two accesses, so also in the middle of an attach;
 * what they ask for then waits until the outermost operation is over.
 */
export class OperationGate {
  private depth = 0;
  private pending = false;
  private readonly work: () => void;

  constructor(work: () => void) {
    this.work = work;
  }

  enter(): void {
    this.depth++;
  }

  leave(): void {
    if (--this.depth > 0 || !this.pending) return;
    this.pending = false;
    this.work();
  }

  run<T>(operation: () => T): T {
    this.enter();
    try {
      return operation();
    } finally {
      this.leave();
    }
  }

  /** The interrupt handler: now, or after the operation in progress. */
  interrupt(): void {
    if (this.depth > 0) this.pending = true;
    else this.work();
  }
}
