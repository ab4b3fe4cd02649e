import type { z } from 'zod';
import { type ScenarioInput, type Step, scenarioSchema } from './schema.ts';

/** A question put to every vendor, as data. Users write the same in YAML; see {@link parseScenario}. */
export type Scenario = z.output<typeof scenarioSchema>;

/** What is wrong with a user's scenario: one line naming the place. */
export class ScenarioError extends Error {}

/** Names that every scenario has. */
const STATIC_DOMAINS = ['identity', 'blocked'];

/** Steps that need a domain the host maps. */
const MAPPED: readonly Step['do'][] = ['map', 'unmap', 'flush', 'track-dirty', 'read-dirty'];

/** A scenario from parsed YAML or JSON. Throws {@link ScenarioError}. */
export function parseScenario(value: unknown): Scenario {
  const { success, data, error } = scenarioSchema.safeParse(value);
  if (!success) {
    const [issue] = error.issues;
    throw new ScenarioError(`${placeOf(issue!.path)}${issue!.message}`);
  }
  checkNames(data);
  return data;
}

/** The same for scenarios in source, whose author the compiler has helped. */
export const scenario = (input: ScenarioInput): Scenario => parseScenario(input);

function placeOf(path: readonly PropertyKey[]): string {
  return path.length === 0 ? '' : `${path.map(String).join('.')}: `;
}

/** Every name a step uses was given by `devices` or by an earlier step. */
function checkNames({ devices, steps }: Scenario): void {
  const domains = new Set(STATIC_DOMAINS);
  const guests = new Set<string>();
  const paging = new Set<string>();
  steps.forEach((step, i) => {
    if ('device' in step) known('device', step.device, new Set(Object.keys(devices)), i);
    if ('domain' in step && step.domain !== undefined) known('domain', step.domain, domains, i);
    if (MAPPED.includes(step.do) && 'domain' in step) known('paging domain', step.domain!, paging, i);
    if ('guest' in step) known('guest', step.guest, guests, i);
    checkExtent(step, i);
    if (step.do === 'domain') for (const set of [domains, paging]) set.add(step.name);
    if (step.do === 'guest') for (const set of [domains, guests]) set.add(step.name);
  });
}

function known(what: string, name: string, names: ReadonlySet<string>, step: number): void {
  if (!names.has(name)) throw new ScenarioError(`steps.${step}.${what}: there is no ${what} '${name}' by then`);
}

function checkExtent(step: Step, index: number): void {
  if (!('pages' in step) && !('largePages' in step)) return;
  const given = ['pages', 'largePages', 'bytes'].filter((key) => (step as Record<string, unknown>)[key] !== undefined);
  if (given.length > 1) throw new ScenarioError(`steps.${index}: ${given.join(' and ')} say the same thing twice`);
}
