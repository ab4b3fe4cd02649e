import { toyOnParent, toyVendor } from '../src/toy/index.ts';
import { boundary, conformance } from '../src/vitest.ts';

conformance(toyVendor);
conformance(toyOnParent);
boundary(toyVendor);
boundary(toyOnParent);
