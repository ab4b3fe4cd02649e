import { readFileSync } from 'node:fs';
import {
  type CaseListing,
  type ConformanceReport,
  listCases,
  mergeReports,
  runConformance,
} from '@iommukit/conformance';
import type { VendorPlugin } from '@iommukit/core';
import { Command, Option } from 'commander';
import { jsonObject } from '../input/jsonl.ts';
import { colorsFor, PLAIN } from '../output/colors.ts';
import { Progress } from '../output/progress.ts';
import { writeResult } from '../output/result.ts';
import { htmlReport, junitReport, markdownReport } from '../report/conformance-files.ts';
import { prettyReport } from '../report/conformance-pretty.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import { chooseVendors, loadAllVendors } from '../vendors.ts';
import { type CommandContext, checked, collect, withPluginOption } from './shared.ts';

interface Shard {
  readonly index: number;
  readonly count: number;
}

interface ConformanceCommandOptions {
  readonly vendor: readonly string[];
  readonly plugin: readonly string[];
  readonly filter?: string;
  readonly config?: string;
  readonly reporter: Reporter;
  readonly output?: string;
  readonly shard?: Shard;
  readonly list?: boolean;
  readonly merge?: readonly string[];
}

const REPORTERS = {
  pretty: prettyReport,
  json: (report: ConformanceReport) => JSON.stringify(report, null, 1),
  junit: junitReport,
  markdown: markdownReport,
  html: htmlReport,
};
type Reporter = keyof typeof REPORTERS;

export function conformanceCommand(context: CommandContext): Command {
  return withPluginOption(new Command('conformance').description('run the shared suite on every vendor'))
    .option('--vendor <id>', 'only this vendor (repeatable)', collect, [])
    .option('--filter <glob>', 'only cases whose id matches')
    .option('--config <name>', 'only configurations of this name')
    .addOption(new Option('--reporter <form>', 'form of the report').choices(Object.keys(REPORTERS)).default('pretty'))
    .option('--output <file>', 'write the report there instead of to stdout')
    .option('--shard <i/n>', 'run the i-th of n parts', checked(parseShard))
    .option('--list', 'list the cases and run none')
    .option('--merge <files...>', 'join JSON reports of shards and run none')
    .action((options: ConformanceCommandOptions) => conformance(options, context));
}

async function conformance(options: ConformanceCommandOptions, context: CommandContext): Promise<void> {
  if (options.list) return list(options, context);
  const report = options.merge ? mergeReports(options.merge.map(readReport)) : await run(options, context);
  const colors = options.output === undefined ? colorsFor(context.io) : PLAIN;
  await writeResult(context, options.output, REPORTERS[options.reporter](report, colors));
  if (report.summary.fail > 0) context.exitCode = 1;
}

async function run(options: ConformanceCommandOptions, { io }: CommandContext): Promise<ConformanceReport> {
  const vendors = await checkedVendors(options);
  const { filter, config, shard } = options;
  const progress = new Progress(io.stderr, 'cases run');
  let done = 0;
  const report = runConformance({ vendors, filter, config, shard, onResult: () => progress.show(++done) });
  progress.done();
  return report;
}

/** The vendors that options choose; configuration and filter must name something of theirs. */
async function checkedVendors({ plugin, vendor, filter, config }: ConformanceCommandOptions) {
  const vendors = chooseVendors(await loadAllVendors(plugin), vendor);
  if (config !== undefined) checkConfig(config, vendors);
  if (filter !== undefined && listCases(filter).length === 0)
    throw new UsageError(`option '--filter': no case matches '${filter}'`);
  return vendors;
}

function checkConfig(name: string, vendors: readonly VendorPlugin[]): void {
  const known = vendors.flatMap(({ configs }) => configs.map((config) => config.name));
  if (!known.includes(name))
    throw new UsageError(`option '--config': no configuration '${name}'; known: ${[...new Set(known)].join(', ')}`);
}

async function list(options: ConformanceCommandOptions, { out }: CommandContext): Promise<void> {
  await checkedVendors(options);
  const { filter, reporter } = options;
  const cases = listCases(filter);
  if (reporter === 'json') return out.line(JSON.stringify({ cases }, null, 1));
  for (const line of cases.map(listingText)) await out.line(line);
}

const listingText = ({ id, title, needs }: CaseListing): string =>
  `${id}  ${title}${needs.length > 0 ? `  (needs ${needs.join(', ')})` : ''}`;

function parseShard(text: string): Shard {
  const parts = /^([0-9]+)\/([0-9]+)$/.exec(text);
  const [index, count] = [Number(parts?.[1]), Number(parts?.[2])];
  if (!(index >= 1 && index <= count)) throw new RangeError(`shard '${text}' is not I/N with 1 ≤ I ≤ N`);
  return { index, count };
}

function readReport(file: string): ConformanceReport {
  try {
    const report = jsonObject(readFileSync(file, 'utf8'));
    if (!Array.isArray(report.cases)) throw new SyntaxError('no conformance report: it has no list of cases');
    const odd = report.cases.findIndex((result) => !isResult(result));
    if (odd >= 0) throw new SyntaxError(`no conformance report: cases[${odd}] is no result of a case`);
    return report as unknown as ConformanceReport;
  } catch (error) {
    throw new UsageError(`option '--merge' ${file}: ${reasonOf(error)}`);
  }
}

const STATUSES: readonly unknown[] = ['pass', 'fail', 'skip'] satisfies ConformanceReport['cases'][number]['status'][];

/** What a report and its totals cannot do without: a status that counts nowhere would hide a failure. */
function isResult(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const result = value as Record<string, unknown>;
  const texts = ['vendor', 'config', 'id', 'title'].every((key) => typeof result[key] === 'string');
  return texts && STATUSES.includes(result.status) && typeof result.durationMs === 'number';
}
