import type { FaultReport, NativeReport, ScenarioReport, StepReport, VendorReport } from '@iommukit/conformance';
import { fieldText } from '../output/fields.ts';
import { groupedHex } from '../output/hex-text.ts';

/** One row of a side-by-side table: a label, then what each vendor has to say. */
export type Row = readonly [label: string, ...cells: string[]];

/** Result, each step with the commands it took, then the structures, faults and notes. Rows nobody fills are left out. */
export function comparisonRows({ vendors }: ScenarioReport): Row[] {
  const all = Object.values(vendors);
  const rows: Row[] = [
    ['outcome', ...all.map(({ outcome }) => outcome)],
    ...longestOf(all).flatMap(({ step }, at): Row[] => [
      [step, ...all.map((vendor) => stepText(vendor, at))],
      ['  native commands', ...all.map((vendor) => commandsText(vendor, at))],
    ]),
    ['structures read', ...all.map(structuresText)],
    ['fault records', ...all.map(recordsText)],
    ['reported faults', ...all.map(({ faults }) => faults.map(faultText).join('\n'))],
    ['notes', ...all.map(({ notes }) => notes.join('\n'))],
  ];
  return rows.filter((row) => row.slice(1).some((cell) => cell !== ''));
}

/** Every native entry, raw and decoded, in the order the hardware met them. */
export function nativeRows({ native }: VendorReport): string[][] {
  return native.map(({ step, role, name, raw, fields, labels }) => [
    `${step}`,
    role,
    name,
    raw,
    fieldText(fields, labels),
  ]);
}

export const NATIVE_HEAD = ['step', 'what', 'name', 'raw', 'fields'];

/** A vendor that stopped early has fewer steps than the scenario. */
function longestOf(vendors: readonly VendorReport[]): readonly StepReport[] {
  return vendors.reduce<readonly StepReport[]>((most, { steps }) => (steps.length > most.length ? steps : most), []);
}

/** A step that the vendor has no capability for is no surprise: its outcome says so. */
function stepText({ steps, outcome }: VendorReport, at: number): string {
  const step = steps[at];
  if (!step) return '';
  const detail = step.detail === null ? '' : ` ${step.detail}`;
  const surprise = step.expected || outcome === 'unsupported' ? '' : ' (unexpected)';
  return `${step.result}${detail}${surprise}`;
}

/** A command is named, decoded and shown raw; of a long run of one command, the first and last. */
function commandsText({ native }: VendorReport, step: number): string {
  const commands = native.filter((entry) => entry.role === 'command' && entry.step === step);
  return runsByName(commands)
    .flatMap((run) => {
      if (run.length <= LONGEST_RUN) return run.map(entryText);
      const left = `… ${run.length - 2} more ${run[0]!.name} …`;
      return [entryText(run[0]!), left, entryText(run.at(-1)!)];
    })
    .join('\n');
}

const LONGEST_RUN = 3;

function runsByName(entries: readonly NativeReport[]): NativeReport[][] {
  const runs: NativeReport[][] = [];
  for (const entry of entries) {
    if (runs.at(-1)?.[0]?.name === entry.name) runs.at(-1)!.push(entry);
    else runs.push([entry]);
  }
  return runs;
}

function entryText({ name, raw, fields, labels }: NativeReport): string {
  return `${name} ${fieldText(fields, labels)}\n${groupedHex(raw)}`;
}

/** Names with their counts, in order of first appearance. */
function structuresText({ native }: VendorReport): string {
  const counts = new Map<string, number>();
  for (const { role, name } of native) if (role === 'structure') counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count === 1 ? name : `${name} × ${count}`)).join('\n');
}

const recordsText = ({ native }: VendorReport): string =>
  native
    .filter(({ role }) => role === 'record')
    .map(entryText)
    .join('\n');

const faultText = ({ common, native }: FaultReport): string => `${common.reason}: ${native.name} (${native.code})`;
