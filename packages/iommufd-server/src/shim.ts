import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The shim cannot be made here; the message says why. */
export class ShimError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ShimError';
  }
}

const SOURCES = fileURLToPath(new URL('../shim/', import.meta.url));
const FLAGS = ['-shared', '-fPIC', '-O2', '-fvisibility=hidden'];
const LIBRARIES = ['-ldl', '-lpthread'];

/** Environment of a program that is to find the server. */
export interface ShimEnvironment {
  readonly LD_PRELOAD: string;
  readonly IOMMUFD_SHIM_SOCKET: string;
}

/** What a program needs in its environment. `shim` is {@link buildShim}'s answer. */
export function shimEnvironment(shim: string, socket: string, env: NodeJS.ProcessEnv = process.env): ShimEnvironment {
  const LD_PRELOAD = env.LD_PRELOAD ? `${env.LD_PRELOAD}:${shim}` : shim;
  return { LD_PRELOAD, IOMMUFD_SHIM_SOCKET: socket };
}

export interface BuildOptions {
  /** Default: `CC` of the environment, else `cc`. */
  readonly compiler?: string;
  /** Where built libraries are kept; default: the user's cache directory. */
  readonly cache?: string;
}

/** Path of the preload library, built by the platform's C compiler unless it was before. Throws {@link ShimError}. */
export function buildShim({ compiler = process.env.CC || 'cc', cache = cacheDirectory() }: BuildOptions = {}): string {
  if (process.platform !== 'linux') throw new ShimError(`the shim is for Linux, not for ${process.platform}`);
  const sources = readdirSync(SOURCES)
    .filter((name) => name.endsWith('.c'))
    .sort();
  const path = join(cache, `shim-${fingerprint(compiler)}.so`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  // Two runs at once must not see each other's half-written library.
  const partial = `${path}.${process.pid}`;
  const files = sources.map((name) => join(SOURCES, name));
  const { status, error, stderr } = spawnSync(compiler, [...FLAGS, '-o', partial, ...files, ...LIBRARIES], {
    encoding: 'utf8',
  });
  if (error)
    throw new ShimError(`no C compiler: '${compiler}' cannot be run (${(error as NodeJS.ErrnoException).code})`);
  if (status !== 0) throw new ShimError(`'${compiler}' cannot build the shim: ${stderr.split('\n')[0]}`);
  renameSync(partial, path);
  return path;
}

/** Changes with the sources, the flags, the compiler and the machine. */
function fingerprint(compiler: string): string {
  const hash = createHash('sha256').update([compiler, process.arch, ...FLAGS].join(' '));
  for (const name of readdirSync(SOURCES).sort()) hash.update(readFileSync(join(SOURCES, name)));
  return hash.digest('hex').slice(0, 16);
}

function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'iommukit');
}
