import type { Command } from './command.ts';
import { HWPT_COMMANDS } from './table-hwpt.ts';
import { IOAS_COMMANDS } from './table-ioas.ts';
import { VIOMMU_COMMANDS } from './table-viommu.ts';

/** The native commands, 0x80 … 0x94. */
export const COMMANDS: readonly Command[] = [...IOAS_COMMANDS, ...HWPT_COMMANDS, ...VIOMMU_COMMANDS].sort(
  (a, b) => a.number - b.number,
);
