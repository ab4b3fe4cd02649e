/** A question put to every vendor, as data. Users write the same in YAML; see {@link parseScenario}. */
export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly question: string;
  readonly steps: readonly Step[];
}

export type Step = { readonly do: string };

/** What is wrong with a user's scenario: one line naming the place. */
export class ScenarioError extends Error {}

/** A scenario from parsed YAML or JSON. Throws {@link ScenarioError}. */
export function parseScenario(_value: unknown): Scenario {
  throw new ScenarioError('scenarios cannot be read yet');
}

/** The scenarios that come with the kit, by id. */
export const scenarios: readonly Scenario[] = [];
