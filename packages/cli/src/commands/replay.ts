import { readFileSync } from 'node:fs';
import { bytesToHex } from '@iommukit/bits';
import { DmaAnswer, DmaRequest, type RecordedRequest, type ReplayedRequest, type ReplaySupport } from '@iommukit/core';
import { Command } from 'commander';
import { answerRecord } from '../dump/answer.ts';
import { parseDevice } from '../input/device.ts';
import { jsonObject } from '../input/jsonl.ts';
import { answerLine } from '../output/answer-text.ts';
import { Progress } from '../output/progress.ts';
import { readStream } from '../replay/stream.ts';
import { readTimeline } from '../replay/timeline.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import { loadVendor } from '../vendors.ts';
import { type CommandContext, checked, withVendorOptions } from './shared.ts';

interface ReplayCommandOptions {
  readonly vendor: string;
  readonly plugin: readonly string[];
  readonly requests: string;
  readonly batch?: string;
  readonly endpoints?: readonly number[];
  readonly config?: string;
  readonly json?: boolean;
}

export function replayCommand(context: CommandContext): Command {
  return withVendorOptions(
    new Command('replay').description('feed a recorded request stream through the device model, by its queue'),
  )
    .requiredOption('--requests <file>', 'JSON lines with seq, raw and write_offset')
    .option('--batch <file>', 'queries as JSON lines with after_seq')
    .option('--endpoints <ids>', 'ids that exist, comma-separated (default: all the stream names)', checked(idList))
    .option('--config <file>', "JSON of the device's own settings")
    .option('--json', 'one JSON object a request or query')
    .action((options: ReplayCommandOptions) => replay(options, context));
}

async function replay(options: ReplayCommandOptions, { io, out }: CommandContext): Promise<void> {
  const plugin = await loadVendor(options.vendor, options.plugin);
  const support = plugin.replay;
  if (!support) throw new UsageError(`option '--vendor': ${plugin.id} has no request stream to replay`);
  const config = options.config === undefined ? null : readConfig(options.config);
  const stream = await readStream(options.requests);
  const { queries, after } = await readTimeline(options.batch, new Set(stream.map(({ seq }) => seq)));
  const session = openSession(support, options.endpoints ?? named(support, stream), config, options.config);
  const request = new DmaRequest();
  const answer = new DmaAnswer();
  const ask = async (seq: number | null) => {
    for (const at of after.get(seq) ?? []) {
      queries.fill(at, request);
      session.hardware.translate(request, answer);
      const record = answerRecord(plugin, request, answer);
      await out.line(options.json ? JSON.stringify({ ...record, after_seq: seq }) : `        ${answerLine(record)}`);
    }
  };
  const progress = new Progress(io.stderr, 'requests replayed', stream.length);
  for (const [done, recorded] of stream.entries()) {
    const full = out.line((options.json ? jsonOf : textOf)(session.submit(recorded)));
    if (full) await full;
    if (after.has(recorded.seq)) await ask(recorded.seq);
    progress.tick(done);
  }
  await ask(null);
  progress.done();
}

function openSession(support: ReplaySupport, endpoints: readonly number[], config: unknown, file: string | undefined) {
  try {
    return support.open({ endpoints, config });
  } catch (error) {
    throw new UsageError(
      `${file === undefined ? "option '--endpoints'" : `option '--config' ${file}`}: ${reasonOf(error)}`,
    );
  }
}

function named(support: ReplaySupport, stream: readonly RecordedRequest[]): number[] {
  const ids = new Set(stream.flatMap((request) => support.endpointsOf(request)));
  return [...ids].sort((a, b) => a - b);
}

const idList = (text: string): readonly number[] => text.split(',').map((id) => parseDevice(id.trim(), true));

function readConfig(file: string): unknown {
  try {
    return jsonObject(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`option '--config' ${file}: ${reasonOf(error)}`);
  }
}

function jsonOf({ seq, type, status, used, raw }: ReplayedRequest): string {
  return JSON.stringify({ seq, type, status, used: used < 0 ? null : used, raw: bytesToHex(raw) });
}

function textOf({ seq, type, status, used, raw }: ReplayedRequest): string {
  const end = used < 0 ? 'never completed' : `${status ?? 'no status'}, ${used} bytes: ${bytesToHex(raw)}`;
  return `${String(seq).padStart(7)} ${type.padEnd(8)} ${end}`;
}
