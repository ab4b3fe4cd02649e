import type { CliIo } from './output.ts';

const QUIET_MS = 2000;
const LINE_EVERY_MS = 5000;
const REDRAW_MS = 200;

/**
 * Says on stderr how far a long command got, once it has run for two seconds: a line redrawn in place on a terminal, a
 * plain line every few seconds elsewhere. Driven by the work itself, since a busy command leaves timers no turn.
 */
export class Progress {
  readonly #stream: CliIo['stderr'];
  readonly #what: string;
  readonly #total: number | null;
  #next: number;
  #calls = 0;
  #shown = false;

  /** `total` is null where the end is not known. */
  constructor(stream: CliIo['stderr'], what: string, total: number | null = null) {
    this.#stream = stream;
    this.#what = what;
    this.#total = total;
    this.#next = performance.now() + QUIET_MS;
  }

  /** Looks at the clock on every 256th call only, so that it can stand in a tight loop. */
  tick(done: number): void {
    if ((this.#calls++ & 255) === 0) this.show(done);
  }

  show(done: number, remark = ''): void {
    const now = performance.now();
    if (now < this.#next) return;
    const live = this.#stream.isTTY === true;
    this.#next = now + (live ? REDRAW_MS : LINE_EVERY_MS);
    this.#shown = live;
    const share = this.#total ? ` of ${this.#total} (${Math.floor((100 * done) / this.#total)} %)` : '';
    const text = `${this.#what}: ${done}${share} ${remark}`.trimEnd();
    this.#stream.write(live ? `\r\x1b[K${text}` : `${text}\n`);
  }

  /** Clears the live line. */
  done(): void {
    if (this.#shown) this.#stream.write('\r\x1b[K');
    this.#shown = false;
  }
}
