import type { CaseResult, ComparisonReport, ConformanceReport } from '@iommukit/conformance';
import { expect, test } from 'vitest';
import { convert } from 'xmlbuilder2';
import { PLAIN } from '../src/output/colors.ts';
import { htmlComparison, markdownComparison, tableComparison } from '../src/report/comparison.ts';
import { htmlReport, junitReport, markdownReport } from '../src/report/conformance-files.ts';
import { prettyReport } from '../src/report/conformance-pretty.ts';

const base = { vendor: 'fake', config: 'plain', title: 'a title', reason: null, spec: null, durationMs: 250 };
const REPORT: ConformanceReport = {
  cases: [
    { ...base, id: 'map/one', status: 'pass' },
    { ...base, id: 'map/two', status: 'fail', reason: 'a | b <c> & "d"\nline\u0000two', spec: 'manual 1.2' },
    { ...base, id: 'map/three', status: 'skip', reason: 'needs pasid' },
    { ...base, config: 'wide', id: 'map/three', status: 'skip', reason: 'needs pasid' },
  ],
  summary: { pass: 1, fail: 1, skip: 2 },
};

test('pretty: counts by configuration, the failure in full, each skip reason once', () => {
  const text = prettyReport(REPORT, PLAIN);
  expect(text).toMatch(/fake +│ plain +│ +1 │ +1 │ +1 │ +750/);
  expect(text).toMatch(/FAIL fake plain map\/two\n {4}a title\n {4}a \| b/);
  expect(text).toContain('\nskip fake: needs pasid (2 in all 2 configurations)\n');
  expect(text.endsWith('1 passed, 1 failed, 2 skipped')).toBe(true);
  expect(text).not.toContain('\u001b');
});

test('pretty: a reason names the configurations it does not share with the others', () => {
  const skips = (cases: readonly CaseResult[]) =>
    prettyReport({ cases, summary: REPORT.summary }, PLAIN)
      .split('\n')
      .filter((line) => line.startsWith('skip'));
  const [one, , plain, wide] = REPORT.cases;
  const other: CaseResult = { ...plain!, vendor: 'other' };
  expect(skips([one!, plain!, { ...plain!, id: 'map/four' }, { ...wide!, reason: 'needs dirty' }, other])).toEqual([
    'skip fake: needs pasid (2 in 1 of 2 configurations: plain)',
    'skip fake: needs dirty (1 in 1 of 2 configurations: wide)',
    'skip other: needs pasid (1 in plain)',
  ]);
});

test('junit: a suite per configuration, and text that XML cannot hold does not break it', () => {
  const xml = junitReport(REPORT);
  expect(xml).toContain('tests="4" failures="1" skipped="2" time="1.000000"');
  expect(xml).toContain('<testsuite name="fake plain" tests="3" failures="1" skipped="1" time="0.750000">');
  expect(xml).toContain('<testcase classname="fake.plain" name="map/two" time="0.250000">');
  expect(xml).toContain('message="a | b &lt;c&gt; &amp; &quot;d&quot;\nline?two"');
  expect(() => convert(xml, { format: 'object' })).not.toThrow();
});

test('markdown and html escape what they are given and put failures first', () => {
  const markdown = markdownReport(REPORT);
  expect(markdown).toContain('| fail | fake | plain | map/two | a \\| b &lt;c> & "d"<br>line\u0000two | manual 1.2 |');
  const html = htmlReport(REPORT);
  expect(html).toContain('a | b &lt;c> &amp; &quot;d&quot;');
  expect(html.indexOf('map/two')).toBeLessThan(html.indexOf('map/one'));
  expect(html.startsWith('<!doctype html>\n<html lang="en">')).toBe(true);
});

const native = {
  step: 1,
  role: 'command',
  kind: 'command',
  name: 'CMD_SYNC',
  raw: '46',
  fields: { CS: 1, Msi: false },
};
const COMPARISON: ComparisonReport = {
  scenarios: [
    {
      id: 'stale',
      title: 'Stale entries',
      question: 'What happens?',
      vendors: {
        one: {
          outcome: 'as-expected',
          steps: [
            { step: 'map a page', result: 'ok', detail: null, expected: true },
            { step: 'read it', result: 'fault', detail: 'not-present F_X', expected: false },
          ],
          native: [native, { ...native, name: 'CMD_SYNC' }] as never,
          faults: [
            {
              step: 1,
              common: { reason: 'not-present', device: 16, pasid: null, iova: '0x0', access: 'read' },
              native: { name: 'F_X', code: 16, record: '10' },
            },
          ],
          notes: [],
        },
        two: { outcome: 'unsupported', steps: [], native: [], faults: [], notes: ['EOPNOTSUPP'] },
      },
    },
  ],
};

test('comparison: vendors are columns, steps are rows', () => {
  const table = tableComparison(COMPARISON, PLAIN, 120);
  expect(table).toMatch(/^stale {2}Stale entries\nWhat happens\?\n/);
  expect(table).toMatch(/│ outcome +│ as-expected +│ unsupported +│/);
  expect(table).toMatch(/│ read it +│ fault not-present F_X \(unexpected\) +│ +│/);
  expect(table).toMatch(/│ +native commands +│ CMD_SYNC CS=1 +│ +│/);
  expect(table).toMatch(/│ reported faults +│ not-present: F_X \(16\) +│/);
});

test('comparison: markdown and html list the native entries raw and decoded', () => {
  expect(markdownComparison(COMPARISON)).toContain('| 1 | command | CMD_SYNC | 46 | CS=1 |');
  const html = htmlComparison(COMPARISON);
  expect(html).toContain('<summary>one: 2 native entries</summary>');
  expect(html).toContain('<span class="unsupported">unsupported</span>');
});
