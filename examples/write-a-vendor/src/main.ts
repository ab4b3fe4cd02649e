// A vendor of one's own, and what the shared suite says about it.
import { runConformance } from '@iommukit/conformance';
import { turnstile } from './index.ts';

const { cases, summary } = runConformance({ vendors: [turnstile] });

for (const { id, config, status, reason } of cases) {
  if (status === 'fail') console.log(`failed: ${config} ${id}: ${reason}`);
}
console.log(`${turnstile.id}: ${summary.pass} passed, ${summary.fail} failed, ${summary.skip} skipped`);
if (summary.fail > 0) process.exitCode = 1;
