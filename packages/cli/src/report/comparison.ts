import type { ComparisonReport, ScenarioReport, VendorReport } from '@iommukit/conformance';
import Table from 'cli-table3';
import { h } from 'preact';
import type { Colors } from '../output/colors.ts';
import { jsonFields } from '../output/fields.ts';
import { comparisonRows, NATIVE_HEAD, nativeRows, type Row } from './comparison-rows.ts';
import { code, htmlPage, htmlTable, marked } from './html.ts';
import { markdownTable } from './markdown.ts';

/** One form of decoded fields in all JSON of the command: a flag is 0 or 1. */
export function jsonComparison({ scenarios }: ComparisonReport): string {
  const plain = (vendor: VendorReport): VendorReport => ({
    ...vendor,
    native: vendor.native.map((entry) => ({ ...entry, fields: jsonFields(entry.fields) })),
  });
  const vendorsOf = ({ vendors }: ScenarioReport) =>
    Object.fromEntries(Object.entries(vendors).map(([id, vendor]) => [id, plain(vendor)]));
  return JSON.stringify({ scenarios: scenarios.map((one) => ({ ...one, vendors: vendorsOf(one) })) }, null, 1);
}

/** `columns`: how wide the terminal is. */
export function tableComparison({ scenarios }: ComparisonReport, colors: Colors, columns: number): string {
  const width = Math.min(WIDEST, Math.max(NARROWEST, columns));
  return scenarios.map((scenario) => tableOf(scenario, colors, width)).join('\n\n');
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

function tableOf(scenario: ScenarioReport, colors: Colors, columns: number): string {
  const head = headOf(scenario);
  const width = Math.max(LEAST_CELL, Math.floor((columns - LABEL_WIDTH - 2) / Math.max(1, head.length - 1)) - 1);
  const table = new Table({
    head,
    colWidths: [LABEL_WIDTH, ...head.slice(1).map(() => width)],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  table.push(...comparisonRows(scenario).map((row) => coloured(row, colors)));
  return `${colors.bold(scenario.id)}  ${scenario.title}\n${scenario.question}\n${table}`;
}

const NARROWEST = 100;
const WIDEST = 240;
const LABEL_WIDTH = 32;
const LEAST_CELL = 20;

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
