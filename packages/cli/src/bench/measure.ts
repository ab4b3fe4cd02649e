import v8 from 'node:v8';
import vm from 'node:vm';

/** Something to time: `run(ops)` does the work `ops` times. */
export interface Workload {
  run(ops: number): void;
  /** Untimed, before every sample. */
  prepare?: (() => void) | undefined;
  /** Fixed where a sample cannot be longer (a cold set is cold once). */
  readonly opsPerSample?: number | undefined;
}

const SAMPLE_NS = 1e6;
const ROUNDS = 80;
const WARM_NS = 100e6;
/** Short samples get more rounds, so that a figure rests on enough time. */
const LEAST_TOTAL_NS = 80e6;
const MOST_ROUNDS = 1000;

/**
 * Nanoseconds per operation of each workload. Their samples alternate, so that all see the same machine, and `prepare`
 * of the first runs before the samples of all, so that all start from the same processor caches. The lower quartile is
 * taken: what a busy neighbour adds is no property of the code.
 */
export function measureTogether(works: readonly Workload[]): number[] {
  const prepare = works[0]?.prepare;
  const subjects = works.map((work) => ({
    run: (ops: number) => work.run(ops),
    prepare,
    opsPerSample: work.opsPerSample,
  }));
  const ops = subjects.map(calibrate);
  const times: number[][] = works.map(() => []);
  let total = 0;
  for (let round = 0; round < ROUNDS || (total < LEAST_TOTAL_NS && round < MOST_ROUNDS); round++) {
    subjects.forEach((work, at) => {
      const ns = sample(work, ops[at]!);
      if (at === 0) total += ns;
      times[at]!.push(ns / ops[at]!);
    });
  }
  return times.map(lowerQuartile);
}

/** Warms up, and finds how many operations make a sample long enough to time. */
function calibrate(work: Workload): number {
  let ops = work.opsPerSample ?? 1;
  let spent = 0;
  for (;;) {
    const ns = sample(work, ops);
    spent += ns;
    const long = work.opsPerSample !== undefined || ns >= SAMPLE_NS;
    if (long && spent >= WARM_NS) return ops;
    if (!long) ops = Math.ceil(ops * Math.min(8, Math.max(1.5, SAMPLE_NS / Math.max(ns, 1))));
  }
}

function sample(work: Workload, ops: number): number {
  work.prepare?.();
  const start = process.hrtime.bigint();
  work.run(ops);
  return Number(process.hrtime.bigint() - start);
}

function lowerQuartile(values: number[]): number {
  const sorted = values.sort((a, b) => a - b);
  return sorted[sorted.length >> 2]!;
}

const HEAP_ROUNDS = 7;
const HEAP_OPS = 20_000;

/**
 * Heap bytes one operation allocates: the least of several rounds, since a real allocation shows in each and stray ones
 * do not, without what `prepare` and the measurement itself take. Warm code only.
 */
export function bytesPerOp(work: Workload): number {
  const ops = work.opsPerSample ?? HEAP_OPS;
  const cycles = Math.ceil(HEAP_OPS / ops);
  const idle = leastGrowth({ ...work, run: () => {} }, ops, cycles);
  return Math.max(0, leastGrowth(work, ops, cycles) - idle) / (ops * cycles);
}

function leastGrowth(work: Workload, ops: number, cycles: number): number {
  const gc = collector();
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < HEAP_ROUNDS; round++) {
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let cycle = 0; cycle < cycles; cycle++) {
      work.prepare?.();
      work.run(ops);
    }
    least = Math.min(least, Math.max(0, process.memoryUsage().heapUsed - before));
  }
  return least;
}

let gcFunction: (() => void) | undefined;

/** V8's collector, also where node was started without --expose-gc. */
function collector(): () => void {
  if (gcFunction === undefined) {
    v8.setFlagsFromString('--expose-gc');
    gcFunction = vm.runInNewContext('gc') as () => void;
  }
  return gcFunction;
}
