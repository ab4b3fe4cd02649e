import { ensure } from '@iommukit/core';
import { PAGE_SIZE } from '@iommukit/iommufd';
import { DMABUF_GET, DMABUF_REVOKE } from '../abi.ts';
import { MockDmaBufFile } from '../dma-buf-file.ts';
import { operation } from './operation.ts';

const PAGE = Number(PAGE_SIZE);
const MAX_LENGTH = 512 * PAGE;

/** The result is the descriptor itself. */
export const dmaBufGet = operation(DMABUF_GET, ({ context, user, iommu, args }) => {
  const length = Math.ceil(args.length / PAGE) * PAGE;
  ensure(length > 0 && length <= MAX_LENGTH, 'EINVAL', `${length} bytes are not 1 … 512 pages`);
  context.injector.use('alloc');
  const file = new MockDmaBufFile(iommu.driver.pages, length);
  try {
    return user.newFile(file, args.open_flags);
  } catch (error) {
    file.close();
    throw error;
  }
});

/** EBADF: not open; EINVAL: no dma-buf; EOPNOTSUPP: another exporter's. */
export const dmaBufRevoke = operation(DMABUF_REVOKE, ({ user, args }) => {
  const target = user.file(args.dmabuf_fd);
  ensure(target.kind === 'ours' && target.file.dmaBuf !== undefined, 'EINVAL', 'not a dma-buf');
  const { file } = target;
  ensure(file instanceof MockDmaBufFile, 'EOPNOTSUPP', 'the dma-buf belongs to somebody else');
  file.setRevoked(args.revoked !== 0);
});
