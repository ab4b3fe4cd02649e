import { PAGE_SIZE, type PhysicalExtent, type UserProcess } from '@iommukit/iommufd';

/** Host pages under a byte range of user memory. EFAULT. */
export function pagesUnder(user: UserProcess, address: bigint, length: bigint): readonly PhysicalExtent[] {
  if (length === 0n) return [];
  const start = address & -PAGE_SIZE;
  const end = (address + length + PAGE_SIZE - 1n) & -PAGE_SIZE;
  return user.pagesOf(start, end - start);
}

/** Physical addresses `skip`, `skip + step`, … bytes into memory that is a list of extents. */
export function* addressesIn(extents: readonly PhysicalExtent[], skip: bigint, step: bigint): Generator<bigint> {
  let at = skip;
  for (const { pa, length } of extents) {
    for (; at < length; at += step) yield pa + at;
    at -= length;
  }
}

/** Every host page of extents that may begin and end inside one. */
export function* hostPages(extents: readonly PhysicalExtent[]): Generator<bigint> {
  for (const { pa, length } of extents) {
    for (let at = pa & -PAGE_SIZE; at < pa + length; at += PAGE_SIZE) yield at;
  }
}
