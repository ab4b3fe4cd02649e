import Table from 'cli-table3';
import { Command } from 'commander';
import { type BenchReport, type BenchResult, chosenFigures, runBench } from '../bench/run.ts';
import { Progress } from '../output/progress.ts';
import { UsageError } from '../usage-error.ts';
import { chooseVendors, loadAllVendors } from '../vendors.ts';
import { type CommandContext, collect, withPluginOption } from './shared.ts';

interface BenchCommandOptions {
  readonly vendor: readonly string[];
  readonly plugin: readonly string[];
  readonly filter?: string;
  readonly json?: boolean;
}

export function benchCommand(context: CommandContext): Command {
  return withPluginOption(
    new Command('bench').description('time the vendors beside the bare work they cannot go below'),
  )
    .option('--vendor <id>', 'only this vendor (repeatable)', collect, [])
    .option('--filter <glob>', 'only figures whose name, vendor or vendor/name matches')
    .option('--json', 'one JSON document')
    .action((options: BenchCommandOptions) => bench(options, context));
}

async function bench(options: BenchCommandOptions, { io, out }: CommandContext): Promise<void> {
  const vendors = chooseVendors(await loadAllVendors(options.plugin), options.vendor);
  const { filter } = options;
  const vendorsOnly = options.vendor.length > 0;
  if (chosenFigures({ vendors, filter, vendorsOnly }).length === 0)
    throw new UsageError(`option '--filter': no figure matches '${filter}'`);
  const progress = new Progress(io.stderr, 'figures timed');
  const report = runBench({
    vendors,
    filter,
    vendorsOnly,
    onStart: (vendor, name, done, total) => progress.show(done, `of ${total}, now ${vendor}/${name}`),
  });
  progress.done();
  await out.line(options.json ? JSON.stringify(report, null, 1) : tableOf(report));
}

function tableOf({ machine, results }: BenchReport): string {
  const table = new Table({
    head: ['figure', 'vendor', 'ns', 'bare ns', 'ratio', 'walks', 'loads', 'heap B', 'the bare work'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  table.push(...results.map(rowOf));
  const { cpu, platform, node, bareWalkNs } = machine;
  return `${cpu}, ${platform}, Node ${node}; bare 4-level walk ${bareWalkNs} ns (= 1 in the column 'walks')\n${table}`;
}

function rowOf(result: BenchResult): string[] {
  const { title, vendor, nsPerOp, limitNsPerOp, ratio, walks, loads, bytesPerOp, limitName } = result;
  return [
    title,
    vendor,
    number(nsPerOp),
    number(limitNsPerOp),
    number(ratio),
    number(walks),
    number(loads),
    number(bytesPerOp),
    limitName,
  ];
}

function number(value: number | null): string {
  if (value === null) return '';
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : 2);
}
