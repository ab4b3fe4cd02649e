import { existsSync, readFileSync } from 'node:fs';
import { parseScenario, runComparison, type Scenario, scenarios } from '@iommukit/conformance';
import { Command, Option } from 'commander';
import { parse } from 'yaml';
import { colorsFor, PLAIN } from '../output/colors.ts';
import { Progress } from '../output/progress.ts';
import { writeResult } from '../output/result.ts';
import { htmlComparison, jsonComparison, markdownComparison, tableComparison } from '../report/comparison.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import { chooseVendors, loadAllVendors } from '../vendors.ts';
import { type CommandContext, collect, withPluginOption } from './shared.ts';

interface CompareOptions {
  readonly vendor: readonly string[];
  readonly plugin: readonly string[];
  readonly format: Format;
  readonly output?: string;
  readonly list?: boolean;
}

const FORMATS = {
  table: tableComparison,
  json: jsonComparison,
  markdown: markdownComparison,
  html: htmlComparison,
};
/** Where stdout is no terminal. */
const COLUMNS_ELSEWHERE = 150;
type Format = keyof typeof FORMATS;

export function compareCommand(context: CommandContext): Command {
  return withPluginOption(new Command('compare').description('put every vendor into the same situations, side by side'))
    .argument('[scenario...]', "a scenario's id, or a YAML file (default: all that come with the kit)")
    .option('--vendor <id>', 'only this vendor (repeatable)', collect, [])
    .addOption(new Option('--format <form>', 'form of the report').choices(Object.keys(FORMATS)).default('table'))
    .option('--output <file>', 'write the report there instead of to stdout')
    .option('--list', 'list the scenarios and run none')
    .action((names: string[], options: CompareOptions) => compare(names, options, context));
}

async function compare(names: readonly string[], options: CompareOptions, context: CommandContext): Promise<void> {
  const chosen = names.length === 0 ? scenarios : names.map(findScenario);
  if (options.list) return list(chosen, options, context);
  const vendors = chooseVendors(await loadAllVendors(options.plugin), options.vendor);
  const progress = new Progress(context.io.stderr, 'comparisons run', chosen.length * vendors.length);
  let done = 0;
  const report = runComparison({ scenarios: chosen, vendors, onResult: () => progress.show(++done) });
  progress.done();
  const columns = context.io.stdout.columns ?? COLUMNS_ELSEWHERE;
  const colors = options.output === undefined ? colorsFor(context.io) : PLAIN;
  await writeResult(context, options.output, FORMATS[options.format](report, colors, columns));
  const outcomes = report.scenarios.flatMap((scenario) => Object.values(scenario.vendors).map((one) => one.outcome));
  if (outcomes.includes('unexpected')) context.exitCode = 1;
}

async function list(chosen: readonly Scenario[], { format }: CompareOptions, { out }: CommandContext): Promise<void> {
  const listed = chosen.map(({ id, title, question }) => ({ id, title, question }));
  if (format === 'json') return out.line(JSON.stringify({ scenarios: listed }, null, 1));
  for (const { id, title, question } of listed) await out.line(`${id}  ${title}\n    ${question}`);
}

function findScenario(name: string): Scenario {
  const own = scenarios.find(({ id }) => id === name);
  if (own) return own;
  if (!existsSync(name))
    throw new UsageError(`argument 'scenario': neither a scenario nor a file: '${name}' (see --list)`);
  try {
    return parseScenario(parse(readFileSync(name, 'utf8')));
  } catch (error) {
    throw new UsageError(`argument 'scenario' ${name}: ${reasonOf(error)}`);
  }
}
