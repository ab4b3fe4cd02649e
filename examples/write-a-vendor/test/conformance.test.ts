import { boundary, conformance } from '@iommukit/conformance/vitest';
import { turnstile } from '../src/index.ts';

// No `mutants` here: one of them narrows the range of an invalidation, and a TS1 has no ranges to narrow.
conformance(turnstile);
boundary(turnstile);
