import type { FaultReport, NativeReport, ScenarioReport, StepReport, VendorReport } from '@iommukit/conformance';

/** One row of a side-by-side table: a label, then what each vendor has to say. */
export type Row = readonly [label: string, ...cells: string[]];

/** Result, steps, then the native structures, commands and faults that tell why, one row each. */
export function comparisonRows({ vendors }: ScenarioReport): Row[] {
  const all = Object.values(vendors);
  const longest = all.reduce(
    (most, { steps }) => (steps.length > most.length ? steps : most),
    [] as readonly StepReport[],
  );
  const steps = longest.map(({ step }, at): Row => [step, ...all.map((vendor) => stepText(vendor.steps[at]))]);
  const native = (label: string, role: NativeReport['role']): Row => [label, ...all.map((one) => tally(one, role))];
  return [
    ['outcome', ...all.map(({ outcome }) => outcome)],
    ...steps,
    native('structures read', 'structure'),
    native('commands', 'command'),
    native('records', 'record'),
    ['faults', ...all.map(({ faults }) => faults.map(faultText).join('\n'))],
    ['notes', ...all.map(({ notes }) => notes.join('\n'))],
  ].filter((row): row is Row => row.slice(1).some((cell) => cell !== ''));
}

/** Every native entry, raw and decoded, in the order the hardware met them. */
export function nativeRows({ native }: VendorReport): string[][] {
  return native.map(({ step, role, name, raw, fields }) => [`${step}`, role, name, raw, fieldsText(fields)]);
}

export const NATIVE_HEAD = ['step', 'what', 'name', 'raw', 'fields'];

function stepText(step: StepReport | undefined): string {
  if (!step) return '';
  const detail = step.detail === null ? '' : ` ${step.detail}`;
  return `${step.result}${detail}${step.expected ? '' : ' (unexpected)'}`;
}

/** Names with their counts, in order of first appearance. */
function tally({ native }: VendorReport, role: NativeReport['role']): string {
  const counts = new Map<string, number>();
  for (const entry of native) if (entry.role === role) counts.set(entry.name, (counts.get(entry.name) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count === 1 ? name : `${name} × ${count}`)).join('\n');
}

function faultText({ common, native }: FaultReport): string {
  return `${common.reason}: ${native.name} (${native.code})`;
}

function fieldsText(fields: NativeReport['fields']): string {
  const shown = Object.entries(fields).filter(([, value]) => value !== 0 && value !== false && value !== '0x0');
  return shown.map(([name, value]) => (value === true ? name : `${name}=${value}`)).join(' ');
}
