import type { Capability } from '@iommukit/core';
import type { Rig } from './rig/rig.ts';

/**
 * One promise of the contract, as data. A case never learns which vendor runs; what it needs it says in capabilities,
 * which the vendor's driver read from its hardware.
 */
export interface Case {
  /** `area/promise`, unique. */
  readonly id: string;
  readonly title: string;
  readonly needs: readonly Capability[];
  /** Where a vendor's manual says so, by vendor id. */
  readonly spec?: Readonly<Record<string, string>>;
  run(rig: Rig): void;
  /** The other half: what a vendor without all of {@link needs} must do instead. Absent: the case is skipped there. */
  without?(rig: Rig): void;
}

/** Declares the cases of one area; `area` is put before each id. */
export const casesOf = (area: string, cases: readonly Case[]): readonly Case[] =>
  cases.map((one) => ({ ...one, id: `${area}/${one.id}` }));
