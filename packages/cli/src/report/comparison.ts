import type { ComparisonReport, ScenarioReport, VendorReport } from '@iommukit/conformance';
import Table from 'cli-table3';
import { h } from 'preact';
import type { Colors } from '../output/colors.ts';
import { comparisonRows, NATIVE_HEAD, nativeRows, type Row } from './comparison-rows.ts';
import { code, htmlPage, htmlTable, marked } from './html.ts';
import { markdownTable } from './markdown.ts';

export function tableComparison({ scenarios }: ComparisonReport, colors: Colors): string {
  return scenarios.map((scenario) => tableOf(scenario, colors)).join('\n\n');
}

export function markdownComparison({ scenarios }: ComparisonReport): string {
  const parts = scenarios.flatMap((scenario) => {
    const natives = Object.entries(scenario.vendors).flatMap(([id, vendor]) =>
      vendor.native.length === 0 ? [] : [`### ${id}`, markdownTable(NATIVE_HEAD, nativeRows(vendor))],
    );
    const table = markdownTable(headOf(scenario), comparisonRows(scenario));
    return [`## ${scenario.title}`, scenario.question, table, ...natives];
  });
  return ['# Comparison', ...parts].join('\n\n');
}

export function htmlComparison({ scenarios }: ComparisonReport): string {
  return htmlPage('Comparison', ...scenarios.flatMap(htmlScenario));
}

function tableOf(scenario: ScenarioReport, colors: Colors): string {
  const head = headOf(scenario);
  const width = Math.max(16, Math.floor((MOST_COLUMNS - LABEL_WIDTH) / Math.max(1, head.length - 1)));
  const table = new Table({
    head,
    colWidths: [LABEL_WIDTH, ...head.slice(1).map(() => width)],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  table.push(...comparisonRows(scenario).map((row) => coloured(row, colors)));
  return `${colors.bold(scenario.id)}  ${scenario.title}\n${scenario.question}\n${table}`;
}

const MOST_COLUMNS = 150;
const LABEL_WIDTH = 36;

function coloured([label, ...cells]: Row, { green, red, yellow }: Colors): string[] {
  const paint: Readonly<Record<string, (text: string) => string>> = {
    'as-expected': green,
    unsupported: yellow,
    unexpected: red,
  };
  return [label, ...cells.map((cell) => (paint[cell] ?? String)(cell))];
}

function headOf({ vendors }: ScenarioReport): string[] {
  return ['', ...Object.keys(vendors)];
}

function htmlScenario(scenario: ScenarioReport) {
  const rows = comparisonRows(scenario).map(([label, ...cells]) => [
    label,
    ...cells.map((text) => (label === 'outcome' ? marked(text) : lines(text))),
  ]);
  const natives = Object.entries(scenario.vendors).filter(([, { native }]) => native.length > 0);
  return [
    h('h2', { id: scenario.id }, scenario.title),
    h('p', null, scenario.question),
    htmlTable(headOf(scenario), rows),
    ...natives.map(([id, vendor]) => htmlNative(id, vendor)),
  ];
}

function htmlNative(id: string, vendor: VendorReport) {
  const rows = nativeRows(vendor).map(([step, role, name, raw, fields]) => [
    step,
    role,
    name,
    code(raw ?? ''),
    code(fields ?? ''),
  ]);
  return h('details', null, h('summary', null, `${id}: ${rows.length} native entries`), htmlTable(NATIVE_HEAD, rows));
}

const lines = (text: string) => text.split('\n').map((line) => h('div', null, line));
