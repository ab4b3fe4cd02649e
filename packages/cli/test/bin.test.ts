import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const BIN = fileURLToPath(new URL('../bin/iommukit.js', import.meta.url));
const built = existsSync(join(dirname(BIN), '../dist/main.js'));

const node = (...argv: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  return { status, stdout, stderr };
};

test('without a build it says what to run', () => {
  mkdirSync(join(scratch.path, 'bin'));
  const alone = join(scratch.path, 'bin', 'iommukit.mjs');
  copyFileSync(BIN, alone);
  expect(node(alone, '--help')).toEqual({
    status: 2,
    stdout: '',
    stderr: 'iommukit: not built yet; run `npm run setup` in the repository first\n',
  });
});

describe('built', () => {
  const SYNC = '46000000000000000000000000000000';
  const decode = [BIN, 'decode', '--vendor', 'arm-smmuv3', '--kind', 'command', '--json'];

  test('results on stdout, exit 0', (context) => {
    if (!built) context.skip('no dist/: `npm run setup` was not run');
    const { status, stdout, stderr } = node(...decode, SYNC);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'command', name: 'CMD_SYNC', raw: SYNC, problems: [] });
  });

  test('bad usage is exit 2 with one line', (context) => {
    if (!built) context.skip('no dist/: `npm run setup` was not run');
    const { status, stdout, stderr } = node(...decode, 'zz');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^iommukit: .*'zz'\n$/);
  });

  test('a reader that goes away is no error', (context) => {
    if (!built) context.skip('no dist/: `npm run setup` was not run');
    const quoted = [process.execPath, ...decode].map((word) => `'${word}'`).join(' ');
    const script = `(${quoted} ${`${SYNC} `.repeat(3000)}; echo "exit $?" >&2) | head -n 1`;
    const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
    expect(stdout.split('\n').length).toBe(2);
    expect(stderr).toBe('exit 0\n');
  });
});
