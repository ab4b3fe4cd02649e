import { boundary, conformance, mutants } from '@iommukit/conformance/vitest';
import { armSmmuV3 } from '../src/index.ts';

conformance(armSmmuV3);
boundary(armSmmuV3);
mutants(armSmmuV3);
