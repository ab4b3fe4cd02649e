import { ACCESS, ACCESS_NAMES, type Access, DmaAnswer, DmaRequest, type VendorPlugin } from '@iommukit/core';
import { Command } from 'commander';
import { answerRecord } from '../dump/answer.ts';
import { type DumpOptions, type OpenDump, openDump } from '../dump/open.ts';
import { DumpTranslator } from '../dump/translator.ts';
import { parseDevice } from '../input/device.ts';
import { readJsonLines } from '../input/jsonl.ts';
import { parseAddress, parsePasid } from '../input/number.ts';
import { parseAccess, parseQuery, QueryList } from '../input/query.ts';
import { answerLine, walkText } from '../output/answer-text.ts';
import { Progress } from '../output/progress.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import { type CommandContext, checked, withDumpOptions, withVendorOptions } from './shared.ts';

interface TranslateOptions extends DumpOptions {
  readonly device?: string;
  readonly iova?: bigint;
  readonly pasid?: number;
  readonly access?: Access;
  readonly privileged?: boolean;
  readonly batch?: string;
  readonly explain?: boolean;
  readonly json?: boolean;
}

export function translateCommand(context: CommandContext): Command {
  const command = new Command('translate').description('answer DMA queries from a memory dump and a register frame');
  return withDumpOptions(withVendorOptions(command))
    .option('--device <id>', 'requester id: number, 0x…, or BB:DD.F')
    .option('--iova <address>', 'input address', checked(parseAddress))
    .option('--pasid <n>', 'PASID or SubstreamID', checked(parsePasid))
    .option('--access <kind>', `${ACCESS_NAMES.join(', ')} (default: read)`, checked(parseAccess))
    .option('--privileged', 'a privileged request')
    .option('--batch <file>', 'queries as JSON lines')
    .option('--explain', 'every structure and descriptor read on the way')
    .option('--json', 'one JSON object a query')
    .action((options: TranslateOptions) => translate(options, context));
}

async function translate(options: TranslateOptions, { io, out }: CommandContext): Promise<void> {
  checkForm(options);
  const dump = await openDump(options);
  const queries = options.batch === undefined ? single(options, dump) : await batch(options.batch, dump);
  const translator = new DumpTranslator(dump.reader.hardware, dump.frame);
  const answerOne = options.explain ? walkOf : lineOf;
  const progress = new Progress(io.stderr, 'queries answered', queries.length);
  const request = new DmaRequest();
  const answer = new DmaAnswer();
  for (let at = 0; at < queries.length; at++) {
    queries.fill(at, request);
    const full = out.line(answerOne(translator, dump.plugin, request, answer, options.json ?? false));
    if (full) await full;
    progress.tick(at);
  }
  progress.done();
}

type Answerer = (
  translator: DumpTranslator,
  plugin: VendorPlugin,
  request: DmaRequest,
  answer: DmaAnswer,
  json: boolean,
) => string;

const lineOf: Answerer = (translator, plugin, request, answer, json) => {
  translator.translate(request, answer);
  const record = answerRecord(plugin, request, answer);
  return json ? JSON.stringify(record) : answerLine(record);
};

const walkOf: Answerer = (translator, plugin, request, answer, json) => {
  const steps = translator.explain(request, answer);
  const record = answerRecord(plugin, request, answer);
  return json
    ? JSON.stringify({ ...record, steps: steps.map(({ text: _, ...step }) => step) })
    : walkText(record, steps);
};

/** Either one query in options or a batch, never both. */
function checkForm(options: TranslateOptions): void {
  const own = (['device', 'iova', 'pasid', 'access', 'privileged'] as const).filter(
    (key) => options[key] !== undefined,
  );
  if (options.memory.length === 0) throw new UsageError("required option '--memory <file[@0xbase]>' not specified");
  if (options.batch !== undefined && own.length > 0)
    throw new UsageError(`option '--batch' cannot be used with '--${own[0]}': its lines say that`);
  if (options.batch !== undefined) return;
  for (const key of ['device', 'iova'] as const)
    if (options[key] === undefined) throw new UsageError(`option '--${key}' is missing (or '--batch FILE')`);
}

function single(options: TranslateOptions, { support }: OpenDump): QueryList {
  const queries = new QueryList();
  queries.push({
    device: deviceOption(options.device!, support.pciIds),
    pasid: options.pasid ?? -1,
    iova: options.iova!,
    access: options.access ?? ACCESS.READ,
    privileged: options.privileged ?? false,
  });
  return queries;
}

export function deviceOption(text: string, pciIds: boolean): number {
  try {
    return parseDevice(text, pciIds);
  } catch (error) {
    throw new UsageError(`option '--device': ${reasonOf(error)}`);
  }
}

/** Every line is read and checked before the first answer, so that a bad line leaves stdout empty. */
async function batch(file: string, { support }: OpenDump): Promise<QueryList> {
  const queries = new QueryList();
  await readJsonLines("option '--batch'", file, (record) => queries.push(parseQuery(record, support.pciIds)));
  return queries;
}
