import { ensure } from '@iommukit/core';

const FIXED_IOVA = 1;
const WRITEABLE = 2;
const READABLE = 4;

/** Flags of IOAS_MAP, IOAS_MAP_FILE and IOAS_COPY. */
export const IoptFlags = {
  FIXED_IOVA,
  WRITEABLE,
  READABLE,
  check: (flags: number): void =>
    ensure((flags & ~(FIXED_IOVA | WRITEABLE | READABLE)) === 0, 'EOPNOTSUPP', `unknown flags in ${flags}`),
  checkAccess: (flags: number): void =>
    ensure((flags & (WRITEABLE | READABLE)) !== 0, 'EINVAL', 'neither readable nor writeable'),
  fixed: (flags: number): boolean => (flags & FIXED_IOVA) !== 0,
  readable: (flags: number): boolean => (flags & READABLE) !== 0,
  writable: (flags: number): boolean => (flags & WRITEABLE) !== 0,
} as const;
