import { Command, CommanderError } from 'commander';
import { benchCommand } from './commands/bench.ts';
import { compareCommand } from './commands/compare.ts';
import { conformanceCommand } from './commands/conformance.ts';
import { decodeCommand } from './commands/decode.ts';
import { mappingsCommand } from './commands/mappings.ts';
import { replayCommand } from './commands/replay.ts';
import type { CommandContext } from './commands/shared.ts';
import { translateCommand } from './commands/translate.ts';
import { type CliIo, Output, OutputClosed } from './output/output.ts';
import { reasonOf, UsageError } from './usage-error.ts';

const COMMANDS = [
  conformanceCommand,
  compareCommand,
  translateCommand,
  mappingsCommand,
  decodeCommand,
  replayCommand,
  benchCommand,
];

const DONE = 0;
const BAD_USAGE = 2;

/** The whole command. Returns the exit code of the contract; `argv` is without node and script. */
export async function main(argv: readonly string[], io: CliIo): Promise<number> {
  const out = new Output(io.stdout);
  const context: CommandContext = { io, out, exitCode: DONE };
  try {
    await parse(argv, context);
    await out.end();
    return context.exitCode;
  } catch (error) {
    return failed(error, io);
  }
}

async function parse(argv: readonly string[], context: CommandContext): Promise<void> {
  const root = program(context);
  const names = root.commands.map((command) => command.name()).join(', ');
  if (argv.length === 0) throw new UsageError(`name a command: ${names} (see --help)`);
  try {
    await root.parseAsync(argv, { from: 'user' });
  } catch (error) {
    // Help that was asked for is a result.
    if (!(error instanceof CommanderError) || error.exitCode !== DONE) throw error;
  }
}

function program(context: CommandContext): Command {
  const { out, io } = context;
  const root = new Command('iommukit').description(
    'IOMMU drivers and hardware models: conformance, dumps, decoding, replay',
  );
  for (const make of COMMANDS) root.addCommand(make(context));
  for (const command of [root, ...root.commands])
    command
      .exitOverride()
      .showSuggestionAfterError(false)
      .configureOutput({
        writeOut: (text) => void out.line(text.trimEnd()),
        writeErr: (text) => void io.stderr.write(`iommukit: ${text.replace(/^error: /, '')}`),
      });
  return root;
}

function failed(error: unknown, io: CliIo): number {
  if (error instanceof OutputClosed) return DONE;
  if (error instanceof CommanderError) return BAD_USAGE;
  const message = error instanceof UsageError ? error.message : `internal error: ${reasonOf(error)}`;
  io.stderr.write(`iommukit: ${message}\n`);
  if (process.env.IOMMUKIT_STACK) io.stderr.write(`${(error as Error)?.stack}\n`);
  return BAD_USAGE;
}
