/** When deferred hardware work runs: right after the access that asked for it, n ticks later, or 0 to 7 ticks later. */
export type Schedule = 'at-once' | { readonly afterPolls: number } | { readonly seed: number };

/** Longest delay of the seeded schedule, in ticks. */
const MAX_SEEDED_DELAY = 7;
/** Work that asks for itself again and again waits for the next tick after this many runs. */
const RUNS_PER_TICK = 1024;

/**
 * Time and the work that waits for it. Ticks wrap at 32 bits, so that counting them never leaves small integers; due
 * times are compared by their distance.
 */
export class Scheduler {
  private tick = 0;
  private delay = 0;
  private seeded = false;
  private random = 0;
  private running = false;
  private readonly works: (() => void)[] = [];
  private readonly dues: number[] = [];
  private current: Schedule;

  constructor(schedule: Schedule) {
    this.current = schedule;
    this.choose(schedule);
  }

  get schedule(): Schedule {
    return this.current;
  }

  /** Work that waits already becomes due at once; what comes later follows the new schedule. */
  choose(schedule: Schedule): void {
    const { delay, seed } = parse(schedule);
    this.current = schedule;
    this.delay = delay;
    this.seeded = seed !== null;
    this.random = seed ?? 0;
    this.dues.fill(this.tick);
  }

  /** Nothing waits. */
  get idle(): boolean {
    return this.works.length === 0;
  }

  /** Work that waits already is not queued twice. */
  defer(work: () => void): void {
    if (this.works.includes(work)) return;
    const delay = this.seeded ? this.draw() % (MAX_SEEDED_DELAY + 1) : this.delay;
    this.works.push(work);
    this.dues.push((this.tick + delay) | 0);
  }

  advance(): void {
    this.tick = (this.tick + 1) | 0;
    if (this.works.length !== 0) this.run();
  }

  /** Runs what is due now; no time passes. */
  run(): void {
    if (this.running) return;
    this.running = true;
    try {
      for (let runs = 0; runs < RUNS_PER_TICK; runs++) {
        const work = this.takeDue();
        if (work === null) return;
        work();
      }
    } finally {
      this.running = false;
    }
  }

  /** Drops all that waits and starts the seed again. */
  reset(): void {
    this.works.length = 0;
    this.dues.length = 0;
    this.choose(this.current);
  }

  private takeDue(): (() => void) | null {
    for (let i = 0; i < this.works.length; i++) {
      if (((this.dues[i]! - this.tick) | 0) > 0) continue;
      const work = this.works[i]!;
      for (let j = i + 1; j < this.works.length; j++) {
        this.works[j - 1] = this.works[j]!;
        this.dues[j - 1] = this.dues[j]!;
      }
      this.works.pop();
      this.dues.pop();
      return work;
    }
    return null;
  }

  /** mulberry32 (public domain): 31 bits that depend on the seed alone. */
  private draw(): number {
    this.random = (this.random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.random ^ (this.random >>> 15), 1 | this.random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 1;
  }
}

function parse(schedule: Schedule): { delay: number; seed: number | null } {
  if (schedule === 'at-once') return { delay: 0, seed: null };
  if ('seed' in schedule) {
    if (!Number.isInteger(schedule.seed)) throw new RangeError(`seed ${schedule.seed} is no integer`);
    return { delay: 0, seed: schedule.seed | 0 };
  }
  const { afterPolls } = schedule;
  if (!(Number.isInteger(afterPolls) && afterPolls >= 0 && afterPolls <= 1_000_000))
    throw new RangeError(`afterPolls ${afterPolls} is not 0 … 1000000`);
  return { delay: afterPolls, seed: null };
}
