import os from 'node:os';
import type { VendorPlugin } from '@iommukit/core';
import picomatch from 'picomatch';
import { FIGURES, type Figure, type FigureKind } from './figures.ts';
import { bareWalk, type Limit } from './limits.ts';
import { bytesPerOp, measureTogether } from './measure.ts';
import { neighbours } from './pages.ts';
import { NO_VENDOR, SPACE_FIGURES } from './space.ts';

export interface BenchResult {
  readonly name: string;
  readonly title: string;
  readonly vendor: string;
  readonly config: string;
  readonly nsPerOp: number;
  readonly limitName: string;
  readonly limitNsPerOp: number;
  readonly ratio: number;
  /** Times the bare 4-level walk of this machine, timed right after: the scale that compares machines. */
  readonly walks: number;
  /** Heap bytes a translation allocates; null where a figure is no translation. */
  readonly bytesPerOp: number | null;
  /** Structures and descriptors one operation read from memory; null where nothing counts them. */
  readonly loads: number | null;
  readonly nsPerPage: number | null;
}

export interface BenchReport {
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly platform: string;
    readonly node: string;
    readonly v8: string;
    /** The bare 4-level walk over a typed array, to random pages of one GiB. */
    readonly bareWalkNs: number;
  };
  readonly results: readonly BenchResult[];
}

export interface BenchOptions {
  readonly vendors: readonly VendorPlugin[];
  /** Matches `name`, `vendor` or `vendor/name`. */
  readonly filter?: string | undefined;
  /** Leave out the figures that have no vendor. */
  readonly vendorsOnly?: boolean;
  /** Before each figure. */
  readonly onStart?: (vendor: string, name: string, done: number, total: number) => void;
}

/** A figure, and whose it is. */
export interface ChosenFigure {
  readonly vendor: string;
  readonly config: string;
  readonly kind: FigureKind;
  make(): Figure | null;
}

export function chosenFigures({ vendors, filter, vendorsOnly = false }: BenchOptions): ChosenFigure[] {
  const matches = filter === undefined ? () => true : picomatch(filter);
  const own = vendors.flatMap((plugin) =>
    FIGURES.map((kind) => {
      const config = plugin.configs[0]!.name;
      return { vendor: plugin.id, config, kind, make: () => kind.make(plugin) };
    }),
  );
  const common = SPACE_FIGURES.map((kind) => ({ vendor: NO_VENDOR, config: '-', kind, make: () => kind.make() }));
  return [...own, ...(vendorsOnly ? [] : common)].filter(({ vendor, kind: { name } }) =>
    [name, vendor, `${vendor}/${name}`].some((text) => matches(text)),
  );
}

export function runBench(options: BenchOptions): BenchReport {
  const chosen = chosenFigures(options);
  const scale = bareWalk(neighbours(SCALE_PAGES));
  const results = chosen.map((one, at) => {
    options.onStart?.(one.vendor, one.kind.name, at, chosen.length);
    return measureFigure(one, scale);
  });
  return { machine: machine(scale), results: results.filter((result) => result !== null) };
}

const SCALE_PAGES = 262_144;

function measureFigure({ vendor, config, kind, make }: ChosenFigure, scale: Limit): BenchResult | null {
  const figure = make();
  if (figure === null) return null;
  const [subject, bare] = measureTogether([figure.work, figure.limit]) as [number, number];
  // Apart from the two: its tables would push theirs out of the processor's caches.
  const [walk] = measureTogether([scale]) as [number];
  return {
    name: kind.name,
    title: kind.title,
    vendor,
    config,
    nsPerOp: rounded(subject),
    limitName: figure.limit.name,
    limitNsPerOp: rounded(bare),
    ratio: rounded(subject / bare),
    walks: rounded(subject / walk),
    bytesPerOp: kind.translates ? rounded(bytesPerOp(figure.work)) : null,
    loads: figure.loads === undefined ? null : rounded(figure.loads),
    nsPerPage: figure.pages === undefined ? null : rounded(subject / figure.pages),
  };
}

function machine(scale: Limit): BenchReport['machine'] {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    v8: process.versions.v8,
    bareWalkNs: rounded(measureTogether([scale])[0]!),
  };
}

const rounded = (value: number): number => Number(value.toPrecision(4));
