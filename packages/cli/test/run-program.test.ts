import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../src/main.ts';
import { Collector, run, Scratch } from './run.ts';

const EXAMPLE = fileURLToPath(new URL('../../../examples/c-program/', import.meta.url));
const compiler = process.env.CC || 'cc';
const reason = spawnSync(compiler, ['--version']).error ? `no C compiler '${compiler}'` : null;
if (reason) console.warn(`programs are not run: ${reason}`);

const scratch = new Scratch();
afterAll(() => scratch.remove());

describe.skipIf(reason !== null)(`iommukit run${reason ? ` (${reason})` : ''}`, () => {
  const client = join(scratch.path, 'client');
  const machine = join(EXAMPLE, 'machine.yaml');

  beforeAll(() => {
    process.env.XDG_CACHE_HOME = scratch.path;
    execFileSync(compiler, ['-O1', '-Wall', '-Wextra', '-Werror', '-o', client, join(EXAMPLE, 'client.c')]);
  });

  it('runs the example against a VT-d unit', async () => {
    const { code, stdout, stderr } = await run('run', '--machine', machine, '--', client);
    expect([code, stderr]).toEqual([0, '']);
    const [hardware, ...rest] = stdout.trimEnd().split('\n');
    expect(hardware).toMatch(/^hardware of type 1: CAP 0x[1-9a-f][0-9a-f]+, ECAP 0x/);
    expect(rest).toEqual(['invalidated 2 entries of 3, the last is misaligned', 'unmapped 4194304 bytes']);
  });

  it("ends with the program's exit code, and passes what it prints", async () => {
    const smmu = await run('run', '--machine', machine, '--', client, '/dev/vfio/devices/vfio1');
    expect([smmu.code, smmu.stdout.slice(0, 19)]).toEqual([2, 'hardware of type 2:']);
    expect(await run('run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toMatchObject({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect((await run('run', '--mock', '--', 'sh', '-c', 'kill -9 $$')).code).toBe(137);
  });

  it('serves one device of each vendor when nothing else is said', async () => {
    for (const [name, type] of [
      ['vfio0', 2],
      ['vfio1', 1],
    ] as const) {
      const { stdout } = await run('run', '--', client, `/dev/vfio/devices/${name}`);
      expect(stdout).toMatch(`hardware of type ${type}:`);
    }
  });

  it('says what is wrong with a machine, a program or a compiler', async () => {
    const bad = scratch.file('bad.yaml', 'units:\n  - vendor: nobody\n');
    expect(await run('run', '--machine', bad, '--', 'true')).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/option '--machine' .*bad\.yaml: units\[0\]: no vendor 'nobody'/),
    });
    expect(await run('run', '--machine', '/nowhere.yaml', '--', 'true')).toMatchObject({ code: 2, stdout: '' });
    expect(await run('run', '--', '/nowhere/program')).toMatchObject({ code: 2, stdout: '' });
    expect((await run('run', '--mock', '--machine', bad, '--', 'true')).code).toBe(2);
    const { CC = '' } = process.env;
    process.env.CC = '/nowhere/cc';
    const { code, stderr } = await run('run', '--', 'true');
    if (CC) process.env.CC = CC;
    else delete process.env.CC;
    expect([code, stderr]).toEqual([2, "iommukit: no C compiler: '/nowhere/cc' cannot be run (ENOENT)\n"]);
  });
});

describe('iommukit serve', () => {
  it('listens until it is interrupted', async () => {
    const socket = join(scratch.path, 'served.sock');
    const stderr = new Collector();
    const ended = main(['serve', '--mock', '--socket', socket], { stdout: new Collector(), stderr });
    await expect.poll(() => stderr.text).toBe(`iommukit: listening on ${socket}\n`);
    const client = connect(socket);
    await once(client, 'connect');
    client.write(Buffer.from('ffffffff', 'hex').toString().repeat(2));
    await once(client, 'close');
    expect(stderr.text).toMatch(/connection 1 \(pid 0\): closed: a frame of unknown type/);
    process.emit('SIGTERM');
    expect(await ended).toBe(0);
  });

  it('does not take a socket from another server', async () => {
    const socket = join(scratch.path, 'taken.sock');
    const holder = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(socket)}, () => console.log(1))`,
    ]);
    await once(holder.stdout, 'data');
    const taken = await run('serve', '--socket', socket);
    holder.kill('SIGKILL');
    await once(holder, 'close');
    expect([taken.code, taken.stderr]).toEqual([
      2,
      expect.stringMatching(/option '--socket' .*taken\.sock: listen EADDRINUSE/),
    ]);
    const stderr = new Collector();
    const ended = main(['serve', '--socket', socket], { stdout: new Collector(), stderr });
    await expect.poll(() => stderr.text).toMatch('listening');
    process.emit('SIGTERM');
    expect(await ended).toBe(0);
  });
});
