import { Command } from 'commander';
import { type ServedOptions, withServedOptions } from '../serve/options.ts';
import { startServer } from '../serve/start.ts';
import type { CommandContext } from './shared.ts';

interface ServeOptions extends ServedOptions {
  readonly socket: string;
}

export function serveCommand(context: CommandContext): Command {
  return withServedOptions(new Command('serve').description('serve /dev/iommu on a local socket until interrupted'))
    .requiredOption('--socket <path>', 'where to listen')
    .action((options: ServeOptions) => serve(options, context));
}

async function serve(options: ServeOptions, { io }: CommandContext): Promise<void> {
  const log = (message: string) => void io.stderr.write(`iommukit: ${message}\n`);
  const server = await startServer(options, options.socket, log);
  const stopped = interrupted();
  log(`listening on ${options.socket}`);
  await stopped;
  await server.close();
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}
