import { Command, CommanderError, Help } from 'commander';
import type { CommandContext } from './commands/shared.ts';
import { type CliIo, Output, OutputClosed } from './output/output.ts';
import { reasonOf, UsageError } from './usage-error.ts';

type MakeCommand = (context: CommandContext) => Command;

/** Loaded when named: a script that decodes one entry does not wait for the conformance suite. */
const COMMANDS: Readonly<Record<string, () => Promise<MakeCommand>>> = {
  conformance: async () => (await import('./commands/conformance.ts')).conformanceCommand,
  compare: async () => (await import('./commands/compare.ts')).compareCommand,
  translate: async () => (await import('./commands/translate.ts')).translateCommand,
  mappings: async () => (await import('./commands/mappings.ts')).mappingsCommand,
  decode: async () => (await import('./commands/decode.ts')).decodeCommand,
  replay: async () => (await import('./commands/replay.ts')).replayCommand,
  bench: async () => (await import('./commands/bench.ts')).benchCommand,
  serve: async () => (await import('./commands/serve.ts')).serveCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,
};

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
  const [name] = argv;
  const names = Object.keys(COMMANDS);
  if (name === undefined) throw new UsageError(`name a command: ${names.join(', ')} (see --help)`);
  const makers = await Promise.all((name in COMMANDS ? [name] : names).map((wanted) => COMMANDS[wanted]!()));
  const root = program(makers, context);
  try {
    await root.parseAsync(argv, { from: 'user' });
  } catch (error) {
    // Help that was asked for is a result.
    if (!(error instanceof CommanderError) || error.exitCode !== DONE) throw error;
  }
}

function program(makers: readonly MakeCommand[], context: CommandContext): Command {
  const { out, io } = context;
  const root = new Command('iommukit')
    .enablePositionalOptions()
    .description('IOMMU drivers and hardware models: conformance, dumps, decoding, replay');
  for (const make of makers) root.addCommand(make(context));
  for (const command of [root, ...root.commands])
    command
      .exitOverride()
      .showSuggestionAfterError(false)
      .configureHelp({ optionDescription: withoutEmptyDefault })
      .configureOutput({
        writeOut: (text) => void out.line(text.trimEnd()),
        writeErr: (text) => void io.stderr.write(`iommukit: ${text.replace(/^error: /, '')}`),
      });
  return root;
}

/** A repeatable option starts as an empty list, which tells a reader nothing. */
const withoutEmptyDefault: Help['optionDescription'] = (option) =>
  new Help().optionDescription(option).replace(' (default: [])', '');

function failed(error: unknown, io: CliIo): number {
  if (error instanceof OutputClosed) return DONE;
  if (error instanceof CommanderError) return BAD_USAGE;
  const message = error instanceof UsageError ? error.message : `internal error: ${reasonOf(error)}`;
  io.stderr.write(`iommukit: ${message}\n`);
  if (process.env.IOMMUKIT_STACK) io.stderr.write(`${(error as Error)?.stack}\n`);
  return BAD_USAGE;
}
