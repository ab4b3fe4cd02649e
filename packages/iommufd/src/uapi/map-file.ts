import { ensure, IommuError } from '@iommukit/core';
import type { PageSource } from '../pages/source.ts';
import type { UserProcess } from './process.ts';

/**
 * The memory a descriptor stands for. EBADF: not open; for a dma-buf EINVAL: shorter than the range, EOPNOTSUPP: of an
 * exporter that cannot be had, ENODEV: revoked. Any other file shows only when it is pinned that it is none (EINVAL).
 */
export function openMapFile(user: UserProcess, fd: number, start: bigint, length: bigint): PageSource {
  ensure(fd >= 0, 'EBADF', 'no descriptor');
  const target = user.file(fd);
  if (target.kind === 'memory') return target.source;
  const dmaBuf = target.kind === 'ours' ? target.file.dmaBuf : undefined;
  if (!dmaBuf) return NO_MEMORY;
  ensure(start + length <= dmaBuf.size, 'EINVAL', 'the range ends past the dma-buf');
  ensure(dmaBuf.supported, 'EOPNOTSUPP', 'the exporter has no physical pages to give');
  ensure(!dmaBuf.revoked, 'ENODEV', 'the exporter took the memory back');
  return dmaBuf.source;
}

/** A file that is no memory file: mapping it into no domain works, pinning does not. */
const NO_MEMORY: PageSource = {
  kind: 'file',
  pin(): never {
    throw new IommuError('EINVAL', 'not a memory file');
  },
  unpin() {},
  read: () => false,
  write: () => false,
};
