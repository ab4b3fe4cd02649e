import { boundary, conformance, mutants } from '@iommukit/conformance/vitest';
import { intelVtd } from '../src/index.ts';

conformance(intelVtd);
boundary(intelVtd);
mutants(intelVtd);
