import { IommuError, type PagingDomain, PROT } from '@iommukit/core';
import type { FaultInjector } from '../fault-injector.ts';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import { type Area, lengthOf } from './area.ts';

/** Enters an area, whose pages are pinned, into one domain. On failure nothing of it stays. */
export function mapArea(domain: PagingDomain, area: Area, hugePages: boolean, injector: FaultInjector): void {
  if (area.pages.source.revoked) return;
  const prot = protOf(area);
  let next = area.start;
  try {
    for (const { pa, length } of area.pages.physical(area.offset, lengthOf(area))) {
      const step = hugePages ? length : PAGE_SIZE;
      for (let done = 0n; done < length; done += step) {
        const size = step < length - done ? step : length - done;
        injector.use('vendor');
        domain.map(next, pa + done, size, prot);
        next += size;
      }
    }
  } catch (error) {
    if (next > area.start) domain.unmap(area.start, next - area.start);
    throw error;
  }
}

/** Takes an area out of one domain. */
export function unmapArea(domain: PagingDomain, area: Area): void {
  if (area.pages.source.revoked) return;
  const removed = domain.unmap(area.start, lengthOf(area));
  if (removed !== lengthOf(area)) throw new IommuError('EIO', `unmap removed ${removed} of ${lengthOf(area)} bytes`);
}

function protOf({ readable, writable, pages }: Area): number {
  const memory = pages.source.kind === 'dma-buf' ? PROT.MMIO : PROT.CACHE;
  return (readable ? PROT.READ : 0) | (writable ? PROT.WRITE : 0) | memory;
}
