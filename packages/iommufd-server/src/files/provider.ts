import type { OpenFile } from '@iommukit/iommufd';

/** What paths stand for. */
export interface FileProvider {
  /**
   * Opens a file: `/dev/iommu` for null (a client that names no path), else the path the program gave. `flags` are
   * open's. Throws IommuError ENOENT and what else opening answers.
   */
  open(path: string | null, flags: number): OpenFile;
}

export const CONTEXT_PATH = '/dev/iommu';
