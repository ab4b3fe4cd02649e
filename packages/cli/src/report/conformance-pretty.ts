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

/** Each vendor's reasons once, with the number of skips and of the configurations they happened in. */
function skipText(cases: readonly CaseResult[], colors: Colors): string[] {
  const reasons = new Map<string, CaseResult[]>();
  for (const result of cases) {
    if (result.status !== 'skip') continue;
    const text = `skip ${result.vendor}: ${result.reason ?? 'no reason given'}`;
    const known = reasons.get(text);
    if (known) known.push(result);
    else reasons.set(text, [result]);
  }
  return [...reasons].map(([text, skipped]) => colors.dim(`${text} (${skipPlaces(skipped, cases)})`));
}

/** `8 in all 4 configurations`, or which they are where it is not all of them. */
function skipPlaces(skipped: readonly CaseResult[], cases: readonly CaseResult[]): string {
  const { vendor } = skipped[0]!;
  const configs = configsOf(skipped);
  const all = configsOf(cases.filter((result) => result.vendor === vendor)).length;
  if (all === 1) return `${skipped.length} in ${configs[0]}`;
  if (configs.length === all) return `${skipped.length} in all ${all} configurations`;
  return `${skipped.length} in ${configs.length} of ${all} configurations: ${configs.join(', ')}`;
}

const configsOf = (cases: readonly CaseResult[]): string[] => [...new Set(cases.map(({ config }) => config))];
