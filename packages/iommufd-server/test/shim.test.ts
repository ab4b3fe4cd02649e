import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildShim, ShimError, shimEnvironment } from '../src/index.ts';
import { serveMock } from './support/serve.ts';

const run = promisify(execFile);
const compiler = process.env.CC || 'cc';
const reason = spawnSync(compiler, ['--version']).error ? `no C compiler '${compiler}'` : null;
if (reason) console.warn(`the shim is not tested: ${reason}`);

let served: Awaited<ReturnType<typeof serveMock>>;
let directory: string;
let shim: string;
let probe: string;

describe.skipIf(reason !== null)(`the preload shim${reason ? ` (${reason})` : ''}`, () => {
  beforeAll(async () => {
    served = await serveMock();
    directory = mkdtempSync(join(tmpdir(), 'iommukit-shim-'));
    shim = buildShim({ cache: directory });
    probe = join(directory, 'probe');
    const source = fileURLToPath(new URL('./shim/probe.c', import.meta.url));
    await run(compiler, ['-O1', '-Wall', '-Wextra', '-Werror', '-o', probe, source, '-lpthread']);
  });

  afterAll(async () => {
    await served.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it.each(['copies', 'children', 'faults', 'queues', 'regions', 'status', 'threads', 'untouched'])(
    '%s',
    async (check) => {
      const env = { ...process.env, ...shimEnvironment(shim, served.path, {}) };
      const { stdout } = await run(probe, [check], { env }).catch((error) => error);
      expect(stdout).toBe('');
      await expect.poll(() => served.server.connections).toBe(0);
      expect([served.host.pins.pages, served.host.files.size, served.files.iommu.system.devices.length]).toEqual([
        0, 0, 0,
      ]);
      expect(served.log).toEqual([]);
    },
  );

  it('is built once', () => {
    expect(buildShim({ cache: directory })).toBe(shim);
  });

  it('compiles without a warning', async () => {
    const sources = fileURLToPath(new URL('../shim/', import.meta.url));
    const flags = ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-Werror', '-o', join(directory, 'strict.so')];
    const files = ['asks', 'connection', 'hooks', 'maps', 'regions', 'status', 'table'].map(
      (name) => `${sources}${name}.c`,
    );
    await run(compiler, [...flags, ...files, '-ldl', '-lpthread']);
  });

  it('leaves a program without a server with ENODEV and a message', async () => {
    const env = { ...process.env, ...shimEnvironment(shim, join(directory, 'nobody'), {}) };
    const failed = await run(probe, ['copies'], { env }).catch((error) => error);
    expect([failed.code, failed.stderr]).toEqual([1, 'iommukit shim: no server answers on the socket\n']);
    expect(failed.stdout).toMatch('errno 19');
  });
});

describe('without a compiler', () => {
  it('says so', () => {
    expect(() => buildShim({ compiler: '/nowhere/cc', cache: tmpdir() })).toThrow(ShimError);
    expect(() => buildShim({ compiler: '/nowhere/cc', cache: tmpdir() })).toThrow("no C compiler: '/nowhere/cc'");
  });
});
