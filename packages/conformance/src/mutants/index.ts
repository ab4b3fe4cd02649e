import { attachMutants } from './attach-mutants.ts';
import { guestMutants } from './guest-mutants.ts';
import { hardwareMutants } from './hardware-mutants.ts';
import { iommufdMutants } from './iommufd-mutants.ts';
import { mappingMutants } from './mapping-mutants.ts';
import type { Mutant } from './mutant.ts';
import { reportMutants } from './report-mutants.ts';
import { toyDriverMutants } from './toy-driver-mutants.ts';
import { toyHardwareMutants } from './toy-hardware-mutants.ts';

export {
  type Mutant,
  mutateDomains,
  mutateDriver,
  mutateDriverPorts,
  mutateGuests,
  mutateHardware,
  mutateTranslate,
} from './mutant.ts';

/** Mutants of any vendor: what the contract asks of each half, broken from outside. */
export const vendorMutants: readonly Mutant[] = [
  ...mappingMutants,
  ...attachMutants,
  ...reportMutants,
  ...guestMutants,
  ...hardwareMutants,
  ...iommufdMutants,
];

/** Mutants of the toy's insides. */
export const toyMutants: readonly Mutant[] = [...toyDriverMutants, ...toyHardwareMutants];
