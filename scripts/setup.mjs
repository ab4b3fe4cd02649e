// Installs and builds what the other commands need, and nothing twice: an unchanged lock file is not installed again,
// and `tsc -b` only rebuilds what changed. Runs on a bare Node and npm.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, 'node_modules', '.iommukit-setup');
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 20)) {
  console.error(`iommukit needs Node 20.20 or newer; this is ${process.versions.node}`);
  process.exit(2);
}

// The platform and the Node ABI belong to the stamp: native packages are chosen by them.
const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .update(`${process.platform} ${process.arch} ${process.versions.modules}`)
  .digest('hex');
const installed = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : '';

if (installed !== wanted) {
  console.error('setup: installing packages (once)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, wanted);
}
run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b', join(root, 'tsconfig.json')]);

function run(command, args) {
  // What npm and tsc say goes to stderr: a command's stdout is its result.
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (error || status !== 0) {
    console.error(`setup: '${command} ${args.join(' ')}' failed${error ? `: ${error.message}` : ''}`);
    process.exit(1);
  }
}
