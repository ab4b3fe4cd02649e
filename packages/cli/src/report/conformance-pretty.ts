import type { CaseResult, ConformanceReport } from '@iommukit/conformance';
import Table from 'cli-table3';
import type { Colors } from '../output/colors.ts';

/** A row per vendor and configuration, then every failure, then why cases were skipped. */
export function prettyReport({ cases, summary }: ConformanceReport, colors: Colors): string {
  const failures = cases.filter(({ status }) => status === 'fail').map((result) => failureText(result, colors));
  const { pass, fail, skip } = summary;
  const total = `${pass} passed, ${fail} failed, ${skip} skipped`;
  const parts = [countTable(cases, colors), ...failures, ...skipText(cases, colors)];
  return [...parts, fail === 0 ? colors.green(total) : colors.red(total)].join('\n');
}

/** Results by vendor and configuration, in the report's order. */
export function byConfiguration(cases: readonly CaseResult[]): Map<string, CaseResult[]> {
  const groups = new Map<string, CaseResult[]>();
  for (const result of cases) {
    const key = `${result.vendor} ${result.config}`;
    const group = groups.get(key);
    if (group) group.push(result);
    else groups.set(key, [result]);
  }
  return groups;
}

export function counts(cases: readonly CaseResult[]): { pass: number; fail: number; skip: number } {
  const found = { pass: 0, fail: 0, skip: 0 };
  for (const { status } of cases) found[status]++;
  return found;
}

function countTable(cases: readonly CaseResult[], colors: Colors): string {
  const table = new Table({
    head: ['vendor', 'configuration', 'pass', 'fail', 'skip', 'ms'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const group of byConfiguration(cases).values()) {
    const { vendor, config } = group[0]!;
    const { pass, fail, skip } = counts(group);
    const ms = group.reduce((sum, { durationMs }) => sum + durationMs, 0);
    table.push([vendor, config, pass, fail === 0 ? fail : colors.red(String(fail)), skip, ms.toFixed(0)]);
  }
  return table.toString();
}

function failureText({ vendor, config, id, title, reason, spec }: CaseResult, colors: Colors): string {
  const place = spec === null ? '' : `\n    ${spec}`;
  return `${colors.red('FAIL')} ${vendor} ${config} ${colors.bold(id)}\n    ${title}\n    ${reason ?? ''}${place}`;
}

/** Each vendor's reasons once, with the configurations they hold for and the number of cases in each. */
function skipText(cases: readonly CaseResult[], colors: Colors): string[] {
  const reasons = new Map<string, Map<string, number>>();
  for (const { vendor, config, status, reason } of cases) {
    if (status !== 'skip') continue;
    const text = `skip ${vendor}: ${reason ?? 'no reason given'}`;
    const configs = reasons.get(text) ?? new Map<string, number>();
    reasons.set(text, configs.set(config, (configs.get(config) ?? 0) + 1));
  }
  return [...reasons].map(([text, configs]) => {
    const places = [...configs].map(([config, count]) => `${config} ${count}`).join(', ');
    return colors.dim(`${text} (${places})`);
  });
}
