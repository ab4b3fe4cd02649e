import { boundary, conformance, mutants } from '@iommukit/conformance/vitest';
import { turnstile } from '../src/index.ts';

conformance(turnstile);
boundary(turnstile);
mutants(turnstile);
