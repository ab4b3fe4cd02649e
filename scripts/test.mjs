// `npm test`: types, lint and format, then every test. Arguments go to vitest: `npm test -- packages/bits`.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (...parts) => join(root, 'node_modules', ...parts);

const checks = [
  ['types', [bin('typescript', 'bin', 'tsc'), '-p', 'tsconfig.check.json']],
  ['lint and format', [bin('@biomejs', 'biome', 'bin', 'biome'), 'check', '.']],
];
let failedChecks = 0;
for (const [name, args] of checks) {
  if (spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] }).status !== 0) {
    console.error(`check failed: ${name}`);
    failedChecks++;
  }
}

const vitest = [bin('vitest', 'vitest.mjs'), 'run', '--reporter=default', '--reporter=./scripts/closing-line.mjs'];
const { status } = spawnSync(process.execPath, [...vitest, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, IOMMUKIT_FAILED_CHECKS: String(failedChecks) },
});
process.exit(failedChecks > 0 ? 1 : (status ?? 1));
