import type { CaseResult, ConformanceReport } from '@iommukit/conformance';
import { create } from 'xmlbuilder2';
import { byConfiguration, counts } from './conformance-pretty.ts';
import { htmlPage, htmlTable, marked } from './html.ts';
import { markdownTable } from './markdown.ts';

/** A suite per vendor and configuration, as CI systems read it. Times in seconds. */
export function junitReport({ cases, summary }: ConformanceReport): string {
  const root = create({ version: '1.0', encoding: 'UTF-8', invalidCharReplacement: '?' }).ele('testsuites', {
    name: 'iommukit conformance',
    tests: cases.length,
    failures: summary.fail,
    skipped: summary.skip,
    time: seconds(cases),
  });
  for (const [name, group] of byConfiguration(cases)) {
    const { fail, skip } = counts(group);
    const attributes = { name, tests: group.length, failures: fail, skipped: skip, time: seconds(group) };
    const suite = root.ele('testsuite', attributes);
    for (const result of group) {
      const { vendor, config, id, status, reason } = result;
      const test = suite.ele('testcase', { classname: `${vendor}.${config}`, name: id, time: seconds([result]) });
      if (status === 'fail') test.ele('failure', { message: reason ?? '' }).txt(detail(result));
      if (status === 'skip') test.ele('skipped', { message: reason ?? '' });
    }
  }
  return root.end({ prettyPrint: true });
}

export function markdownReport({ cases, summary }: ConformanceReport): string {
  const rows = [...byConfiguration(cases).values()].map((group) => {
    const { pass, fail, skip } = counts(group);
    return [group[0]!.vendor, group[0]!.config, `${pass}`, `${fail}`, `${skip}`];
  });
  const { pass, fail, skip } = summary;
  const parts = [
    '# Conformance',
    `${pass} passed, ${fail} failed, ${skip} skipped.`,
    markdownTable(['vendor', 'configuration', 'pass', 'fail', 'skip'], rows),
  ];
  const notable = cases.filter(({ status }) => status !== 'pass').sort(failuresFirst);
  if (notable.length > 0)
    parts.push(
      '## Not passed',
      markdownTable(
        ['status', 'vendor', 'configuration', 'case', 'reason', 'manual'],
        notable.map(({ status, vendor, config, id, reason, spec }) => [
          status,
          vendor,
          config,
          id,
          reason ?? '',
          spec ?? '',
        ]),
      ),
    );
  return parts.join('\n\n');
}

export function htmlReport({ cases, summary }: ConformanceReport): string {
  const { pass, fail, skip } = summary;
  const rows = [...cases]
    .sort(failuresFirst)
    .map(({ vendor, config, id, title, status, reason, spec }) => [
      marked(status),
      vendor,
      config,
      id,
      title,
      reason ?? '',
      spec ?? '',
    ]);
  return htmlPage(
    'Conformance',
    marked(fail > 0 ? 'fail' : 'pass', `${pass} passed, ${fail} failed, ${skip} skipped`),
    htmlTable(['status', 'vendor', 'configuration', 'case', 'what it says', 'reason', 'manual'], rows),
  );
}

const RANK = { fail: 0, skip: 1, pass: 2 } as const;
const failuresFirst = (a: CaseResult, b: CaseResult): number => RANK[a.status] - RANK[b.status];

const detail = ({ title, reason, spec }: CaseResult): string =>
  [title, reason, spec].filter((text) => text !== null).join('\n');

function seconds(cases: readonly CaseResult[]): string {
  return (cases.reduce((sum, { durationMs }) => sum + durationMs, 0) / 1000).toFixed(6);
}
