/** The JSON of `iommukit compare`. Addresses are `0x…` strings, identifiers and counts numbers. */
export interface ComparisonReport {
  readonly scenarios: readonly ScenarioReport[];
}

export interface ScenarioReport {
  readonly id: string;
  readonly title: string;
  readonly question: string;
  readonly vendors: Readonly<Record<string, VendorReport>>;
}

/**
 * `as-expected`: every step did what the scenario expects. `unsupported`: the vendor refused a step for want of a
 * capability (its errno stands in the step). `unexpected`: a step did something else, or crashed.
 */
export type ScenarioOutcome = 'as-expected' | 'unsupported' | 'unexpected';

export interface VendorReport {
  readonly outcome: ScenarioOutcome;
  readonly steps: readonly StepReport[];
  /** In the order the hardware met them. */
  readonly native: readonly NativeReport[];
  readonly faults: readonly FaultReport[];
  readonly notes: readonly string[];
}

/** `ok`, `fault` (a DMA that was refused), `errno` (the API refused), `skipped` (after an unsupported step). */
export type StepResult = 'ok' | 'fault' | 'errno' | 'skipped';

export interface StepReport {
  /** What was asked, in words. */
  readonly step: string;
  readonly result: StepResult;
  /** The errno, the fault's common reason and native name, or what an operation returned; null when there is nothing to say. */
  readonly detail: string | null;
  readonly expected: boolean;
}

/** A structure or table entry the hardware read from memory, a command it took, or a record it wrote. */
export interface NativeReport {
  /** Index of the step during which it happened. */
  readonly step: number;
  readonly role: 'structure' | 'command' | 'record';
  readonly kind: string;
  readonly name: string;
  /** Hex in memory order. */
  readonly raw: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
  /** Mnemonics of values that have one. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface FaultReport {
  readonly step: number;
  /** The words all vendors share. */
  readonly common: {
    readonly reason: string;
    readonly device: number;
    readonly pasid: number | null;
    readonly iova: string | null;
    readonly access: string | null;
  };
  /** The architecture's own: mnemonic, number and the record's bytes. */
  readonly native: { readonly name: string; readonly code: number; readonly record: string };
}
