#!/usr/bin/env node
import { existsSync } from 'node:fs';

const built = new URL('../dist/main.js', import.meta.url);

if (existsSync(built)) {
  const { main } = await import(built.href);
  process.exitCode = await main(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr });
} else {
  process.stderr.write('iommukit: not built yet; run `npm run setup` in the repository first\n');
  process.exitCode = 2;
}
