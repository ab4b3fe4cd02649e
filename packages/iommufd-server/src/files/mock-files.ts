import { IommuError } from '@iommukit/core';
import { IommufdFile, type OpenFile } from '@iommukit/iommufd';
import { PageAllocator, SparseMemory } from '@iommukit/machine';
import { MockIommu, testCommands } from '@iommukit/mock-iommu';
import type { Host } from '../process/host.ts';
import { CONTEXT_PATH, type FileProvider } from './provider.ts';

/** Below everything the host gives out for programs' memory. */
const PAGES = { start: 0x4000_0000n, last: 0x7fff_ffffn };

/** A test kernel's `/dev/iommu`: the native commands, and IOMMU_TEST_CMD over one mock IOMMU that all files share. */
export class MockFiles implements FileProvider {
  readonly iommu: MockIommu;

  constructor({ pins }: Host) {
    const pages = new PageAllocator(new SparseMemory(), PAGES.start, PAGES.last);
    this.iommu = new MockIommu({ pages, pins: (pa) => pins.at(pa) });
  }

  open(path: string | null): OpenFile {
    if (path !== null && path !== CONTEXT_PATH) throw new IommuError('ENOENT', `no file ${path}`);
    return new IommufdFile({ commands: testCommands(this.iommu) });
  }
}
