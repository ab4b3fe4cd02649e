import { ensure, type PagingDomain, TOP_ADDRESS } from '@iommukit/core';
import { fetch, PAGE_SIZE } from '@iommukit/iommufd';
import { CHECK_MAP, CHECK_REFS, CHECK_SLOT, DIRTY } from '../abi.ts';
import { findDevice, findNested, findPaging, mockDevice } from './find.ts';
import { operation } from './operation.ts';
import { addressesIn, hostPages, pagesUnder } from './pages.ts';

/** More pages than anybody maps (1 TiB of small ones). */
const MAX_BITS = 1n << 29n;

/** Whether every page of a domain leads where user memory lies, by the domain's own table. */
export const checkMap = operation(CHECK_MAP, ({ context, user, iommu, args }) => {
  const { iova, length, uptr } = args;
  const { domain } = findPaging(context, iommu, args.id);
  ensure((iova | length | uptr) % domain.granule === 0n, 'EINVAL', `no multiples of ${domain.granule}`);
  ensure(uptr + length <= TOP_ADDRESS, 'EINVAL', 'the memory wraps');
  const extents = pagesUnder(user, uptr, length);
  compare(domain, iova, length, addressesIn(extents, uptr % PAGE_SIZE, domain.granule));
});

function compare(domain: PagingDomain, iova: bigint, length: bigint, addresses: Generator<bigint>): void {
  for (let done = 0n; done < length; done += domain.granule) {
    const { value } = addresses.next();
    ensure(domain.iovaToPhys(iova + done) === value, 'EINVAL', `0x${(iova + done).toString(16)} leads elsewhere`);
  }
}

/** Whether each host page is pinned exactly so often, all files taken together. */
export const checkRefs = operation(CHECK_REFS, ({ user, iommu, args }) => {
  const { uptr, length, refs } = args;
  ensure((uptr | length) % PAGE_SIZE === 0n, 'EINVAL', 'no whole pages');
  ensure(uptr + length <= TOP_ADDRESS, 'EINVAL', 'the memory wraps');
  for (const pa of hostPages(pagesUnder(user, uptr, length))) {
    const pins = iommu.pins(pa);
    ensure(pins === refs, 'EIO', `a page is pinned ${pins} times`);
  }
});

/** Marks the leaf under each set bit as written. */
export const dirty = operation(DIRTY, ({ context, user, iommu, args, reply }) => {
  const { iova, length, page_size, uptr } = args;
  ensure(page_size > 0n && length > 0n && uptr > 0n, 'EINVAL', 'nothing to mark');
  ensure(iova % page_size === 0n && length % page_size === 0n, 'EINVAL', 'no multiples of the page size');
  const { domain, mock } = findPaging(context, iommu, args.id);
  ensure(domain.tracksDirty, 'EINVAL', 'nothing is tracked');
  ensure(length / page_size <= MAX_BITS, 'ENOMEM', 'too long a bitmap');
  const pages = Number(length / page_size);
  const bits = fetch(user, uptr, Math.ceil(pages / 8));
  let count = 0n;
  for (let i = 0; i < pages; i++) {
    if (((bits[i >>> 3]! >>> (i & 7)) & 1) === 0) continue;
    const at = iova + BigInt(i) * page_size;
    if (at <= domain.ops.geometry.last) mock.table.setDirty(at);
    count++;
  }
  reply({ out_nr_dirty: count });
});

export const checkIotlb = operation(CHECK_SLOT, ({ context, iommu, args }) => {
  checkValue(findNested(context, iommu, args.id).iotlb, args.slot, args.value);
});

export const checkCache = operation(CHECK_SLOT, ({ context, iommu, args }) => {
  checkValue(mockDevice(iommu, findDevice(context, args.id)).cache, args.slot, args.value);
});

function checkValue(slots: Uint32Array, slot: number, value: number): void {
  ensure(slot < slots.length && slots[slot] === value, 'EINVAL', `slot ${slot} does not hold ${value}`);
}
