import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildShim, ShimError, shimEnvironment } from '@iommukit/iommufd-server';
import { Command } from 'commander';
import type { CliIo } from '../output/output.ts';
import { type ServedOptions, withServedOptions } from '../serve/options.ts';
import { startServer } from '../serve/start.ts';
import { reasonOf, UsageError } from '../usage-error.ts';
import type { CommandContext } from './shared.ts';

export function runCommand(context: CommandContext): Command {
  return withServedOptions(
    new Command('run').description('run a program whose /dev/iommu is a simulated one; ends with its exit code'),
  )
    .argument('<program...>', 'the program and its arguments, after --')
    .passThroughOptions()
    .action((program: string[], options: ServedOptions) => run(program, options, context));
}

async function run(program: readonly string[], options: ServedOptions, context: CommandContext): Promise<void> {
  const { io } = context;
  const shim = makeShim();
  const directory = mkdtempSync(join(tmpdir(), 'iommukit-'));
  const socket = join(directory, 'iommu.sock');
  const log = (message: string) => void io.stderr.write(`iommukit: ${message}\n`);
  try {
    const server = await startServer(options, socket, log);
    context.exitCode = await finished(
      start(program, { ...process.env, ...shimEnvironment(shim, socket) }, io),
      program,
    );
    await server.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function makeShim(): string {
  try {
    return buildShim();
  } catch (error) {
    if (error instanceof ShimError) throw new UsageError(error.message);
    throw error;
  }
}

function start([file, ...args]: readonly string[], env: NodeJS.ProcessEnv, { stdout, stderr }: CliIo): ChildProcess {
  const own = stdout === process.stdout && stderr === process.stderr;
  const child = spawn(file!, args, { env, stdio: own ? 'inherit' : ['inherit', 'pipe', 'pipe'] });
  child.stdout?.pipe(stdout, { end: false });
  child.stderr?.pipe(stderr, { end: false });
  return child;
}

const BY_SIGNAL = 128;

/** The exit code, as a shell would have it. An interrupt from the keyboard reaches the program by itself. */
async function finished(child: ChildProcess, [name]: readonly string[]): Promise<number> {
  const wait = () => {};
  const pass = (signal: NodeJS.Signals) => void child.kill(signal);
  process.on('SIGINT', wait);
  process.on('SIGTERM', pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => reject(new UsageError(`argument 'program' ${name}: ${reasonOf(error)}`)));
      child.once('close', (code, signal) => resolve(code ?? BY_SIGNAL + (signal ? constants.signals[signal] : 0)));
    });
  } finally {
    process.off('SIGINT', wait);
    process.off('SIGTERM', pass);
  }
}
