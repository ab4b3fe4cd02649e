import { boundary, mutants } from '@iommukit/conformance/vitest';
import { virtioIommu } from '../src/index.ts';

boundary(virtioIommu);
mutants(virtioIommu);
