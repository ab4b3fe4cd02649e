import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CaseResult } from '@iommukit/conformance';
import { afterAll, expect, test } from 'vitest';
import { run, Scratch } from './run.ts';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const BROKEN = fileURLToPath(new URL('./fake/broken.ts', import.meta.url));
const conformance = (...argv: string[]) => run('conformance', '--config', 'default', '--filter', 'map/*', ...argv);
const key = ({ vendor, config, id, status }: CaseResult) => `${vendor} ${config} ${id} ${status}`;

test('json: every case with its fields, and a summary that counts them', async () => {
  const { code, stdout } = await conformance('--vendor', 'virtio-iommu', '--reporter', 'json');
  const { cases, summary } = JSON.parse(stdout);
  expect(code).toBe(0);
  expect(cases.length).toBeGreaterThan(5);
  for (const result of cases) {
    expect(Object.keys(result)).toEqual(['vendor', 'config', 'id', 'title', 'status', 'reason', 'spec', 'durationMs']);
    expect(result).toMatchObject({ vendor: 'virtio-iommu', config: 'default', id: expect.stringMatching(/^map\//) });
  }
  const count = (status: string) => cases.filter((result: CaseResult) => result.status === status).length;
  expect(summary).toEqual({ pass: count('pass'), fail: 0, skip: count('skip') });
});

test('shards split the run, and merged they are the whole', async () => {
  const files = [1, 2, 3].map((index) => join(scratch.path, `shard-${index}.json`));
  for (const [at, file] of files.entries()) {
    const shard = ['--shard', `${at + 1}/3`, '--reporter', 'json', '--output', file];
    expect(await conformance('--vendor', 'virtio-iommu', ...shard)).toMatchObject({ code: 0, stdout: '' });
  }
  const shards = files.map((file) => JSON.parse(readFileSync(file, 'utf8')).cases as CaseResult[]);
  for (const cases of shards) expect(cases.length).toBeGreaterThan(0);
  const merged = JSON.parse((await run('conformance', '--merge', ...files, '--reporter', 'json')).stdout);
  const whole = JSON.parse((await conformance('--vendor', 'virtio-iommu', '--reporter', 'json')).stdout);
  expect(merged.cases.map(key).sort()).toEqual(whole.cases.map(key).sort());
  expect(merged.summary).toEqual(whole.summary);
  expect(merged.cases.length).toBe(shards.flat().length);
});

test('a failure is exit 1, in every form of the report, and the run goes on to its end', async () => {
  for (const reporter of ['pretty', 'json', 'junit', 'markdown', 'html']) {
    const { code, stdout } = await conformance('--plugin', BROKEN, '--vendor', 'broken', '--reporter', reporter);
    expect([reporter, code]).toEqual([reporter, 1]);
    expect(stdout).toContain('this one is broken');
  }
  const both = ['--plugin', BROKEN, '--vendor', 'broken', '--vendor', 'virtio-iommu', '--reporter', 'json'];
  const { cases } = JSON.parse((await conformance(...both)).stdout);
  const of = (vendor: string) => cases.filter((result: CaseResult) => result.vendor === vendor);
  expect(of('broken').length).toBe(of('virtio-iommu').length);
  expect(of('virtio-iommu').some(({ status }: CaseResult) => status === 'fail')).toBe(false);
});

test('--list runs nothing', async () => {
  const { stdout } = await run('conformance', '--list', '--filter', 'map/*');
  expect(stdout).toMatch(/^map\/[a-z-]+ {2}\S/);
  const { cases } = JSON.parse((await run('conformance', '--list', '--reporter', 'json')).stdout);
  expect(cases.length).toBeGreaterThanOrEqual(40);
});

test.each([
  ['an unknown vendor', ['--vendor', 'via'], /no vendor 'via'; known: arm-smmuv3, intel-vtd, virtio-iommu/],
  ['an unknown configuration', ['--config', 'absent'], /no configuration 'absent'; known: .*default/],
  ['a filter that matches nothing', ['--filter', 'absent/*'], /no case matches 'absent\/\*'/],
  ['an unknown reporter', ['--reporter', 'tap'], /--reporter.*tap/],
  ['a shard out of range', ['--shard', '4/3'], /--shard.*4\/3/],
  ['a shard that is none', ['--shard', 'x'], /--shard.*x/],
  ['a report that is not there', ['--merge', 'absent.json'], /--merge.*absent\.json/],
  ['a report that is none', ['--merge', scratch.file('none.json', '{}')], /none\.json.*no list of cases/],
  [
    'a report with a status that counts nowhere',
    [
      '--merge',
      scratch.file('odd.json', '{"cases":[{"vendor":"v","config":"c","id":"i","title":"t","status":"failed"}]}'),
    ],
    /odd\.json.*cases\[0\] is no result/,
  ],
  ['a plugin that is not there, though nothing runs', ['--list', '--plugin', './absent.js'], /--plugin.*absent\.js/],
  ['a filter that lists nothing', ['--list', '--filter', 'nothing/*'], /--filter.*nothing/],
])('%s is exit 2', async (_, argv, message) => {
  const result = await run('conformance', ...argv);
  expect(result).toMatchObject({ code: 2, stdout: '' });
  expect(result.stderr).toMatch(message);
  expect(result.stderr.trimEnd().split('\n').length).toBe(1);
});
