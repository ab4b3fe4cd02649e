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

const SAMPLE_NS = 4e6;
const ROUNDS = 25;
const WARM_NS = 120e6;
/** Short samples get more rounds, so that a figure rests on enough time. */
const LEAST_TOTAL_NS = 60e6;
const MOST_ROUNDS = 400;

/**
 * Medians of two workloads in ns per operation. Their samples alternate, so that both see the same machine; `prepare`
 * of the first runs before the samples of both, so that both start from the same processor caches.
 */
export function measurePair(subject: Workload, bare: Workload): { subject: number; bare: number } {
  const paired = { ...bare, prepare: subject.prepare, run: (ops: number) => bare.run(ops) };
  const ops = [calibrate(subject), calibrate(paired)] as const;
  const times: [number[], number[]] = [[], []];
  let total = 0;
  for (let round = 0; round < ROUNDS || (total < LEAST_TOTAL_NS && round < MOST_ROUNDS); round++) {
    const own = sample(subject, ops[0]);
    total += own;
    times[0].push(own / ops[0]);
    times[1].push(sample(paired, ops[1]) / ops[1]);
  }
  return { subject: median(times[0]), bare: median(times[1]) };
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

function median(values: number[]): number {
  const sorted = values.sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

const HEAP_ROUNDS = 5;
const HEAP_OPS = 20_000;

/**
 * Heap bytes one operation allocates: the least of several rounds, since a real allocation shows in each and stray ones
 * do not. Warm code only.
 */
export function bytesPerOp(work: Workload): number {
  const gc = collector();
  const ops = work.opsPerSample ?? HEAP_OPS;
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < HEAP_ROUNDS; round++) {
    work.prepare?.();
    gc();
    const before = process.memoryUsage().heapUsed;
    work.run(ops);
    least = Math.min(least, Math.max(0, process.memoryUsage().heapUsed - before) / ops);
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
