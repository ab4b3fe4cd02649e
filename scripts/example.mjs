// `npm run example -- NAME`: sets up and runs one of examples/.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const examples = join(root, 'examples');
const [name] = process.argv.slice(2);

if (!name || !existsSync(join(examples, name, 'src', 'main.ts'))) {
  const names = readdirSync(examples).filter((entry) => existsSync(join(examples, entry, 'src', 'main.ts')));
  console.error(`usage: npm run example -- ${names.join('|')}`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, [join(examples, name, 'dist', 'main.js')], { stdio: 'inherit' });
process.exit(status ?? 1);
