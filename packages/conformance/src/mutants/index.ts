import { driverMutants } from './driver-mutants.ts';
import { hardwareMutants } from './hardware-mutants.ts';
import type { Mutant } from './mutant.ts';

export {
  type Mutant,
  mutateDomains,
  mutateDriver,
  mutateDriverPorts,
  mutateGuests,
  mutateHardware,
  mutateTranslate,
} from './mutant.ts';
export { toyMutants } from './toy-mutants.ts';

/** Mutants of any vendor: what the contract asks of each half, broken from outside. */
export const vendorMutants: readonly Mutant[] = [...driverMutants, ...hardwareMutants];
