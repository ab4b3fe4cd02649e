// `npm start`: the conformance suite on the three vendors, then their answers to the same situations side by side.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const iommukit = join(root, 'packages', 'cli', 'bin', 'iommukit.js');

let worst = 0;
for (const command of ['conformance', 'compare']) {
  const { status } = spawnSync(process.execPath, [iommukit, command, ...process.argv.slice(2)], { stdio: 'inherit' });
  worst = Math.max(worst, status ?? 1);
}
process.exit(worst);
