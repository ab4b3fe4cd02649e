import { ensure, type IovaRange, TOP_ADDRESS } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import { Ioas } from '../ioas/ioas.ts';
import { IntervalTree } from '../iova/interval-tree.ts';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import { fileRange } from '../pages/file-range.ts';
import type { PageSource, PinAccount, UserMemory } from '../pages/source.ts';
import { userPages } from '../pages/user-pages.ts';
import { IoptFlags } from './flags.ts';

/** IOMMU_IOAS_ALLOC. */
export function ioasAlloc(context: IommufdContext, flags: number): Ioas {
  ensure(flags === 0, 'EOPNOTSUPP', 'IOAS_ALLOC has no flags');
  return context.publish(new Ioas(context));
}

export const getIoas = (context: IommufdContext, id: number): Ioas => context.get<Ioas>(id, 'ioas');

/** IOMMU_IOAS_IOVA_RANGES: the holes of the reserved set, and the alignment of mappings. */
export function iovaRanges(
  context: IommufdContext,
  ioasId: number,
): { ranges: readonly IovaRange[]; alignment: bigint } {
  const { space } = getIoas(context, ioasId);
  return { ranges: space.usableRanges, alignment: space.alignment };
}

/** IOMMU_IOAS_ALLOW_IOVAS: replaces the list. EINVAL: a range is empty, one byte long, or overlaps another. */
export function allowIovas(context: IommufdContext, ioasId: number, ranges: Iterable<IovaRange>): void {
  const { space } = getIoas(context, ioasId);
  const list = new IntervalTree<IovaRange>();
  for (const range of ranges) {
    ensure(range.start < range.last, 'EINVAL', 'a range ends where it starts, or before');
    ensure(list.overlapping(range) === null, 'EINVAL', 'two ranges overlap');
    context.injector.use('alloc');
    list.insert(range);
  }
  space.allow([...list]);
}

export interface MapParams {
  readonly flags: number;
  readonly ioasId: number;
  readonly length: bigint;
  readonly iova: bigint;
}

/** IOMMU_IOAS_MAP. Returns the iova. */
export function ioasMap(
  context: IommufdContext,
  user: UserMemory,
  params: MapParams & { readonly userVa: bigint },
): bigint {
  const { userVa, length } = params;
  checkMap(params);
  const ioas = getIoas(context, params.ioasId);
  ensure(userVa + length <= TOP_ADDRESS, 'EOVERFLOW', 'the memory wraps');
  return ioas.map({
    ...request(params),
    source: userPages(user, userVa),
    address: userVa,
    account: user.accountFor(context.accountMode),
  });
}

/** IOMMU_IOAS_MAP_FILE. */
export function ioasMapFile(
  context: IommufdContext,
  open: () => { source: PageSource; account: PinAccount },
  params: MapParams & { readonly start: bigint },
): bigint {
  const { start, length } = params;
  checkMap(params);
  const ioas = getIoas(context, params.ioasId);
  ensure(length > 0n, 'EINVAL', 'empty range');
  ensure(start + length - 1n <= TOP_ADDRESS, 'EOVERFLOW', 'the file range wraps');
  const { source, account } = open();
  const range = fileRange(source, start & -PAGE_SIZE);
  return ioas.map({ ...request(params), source: range, address: start, account });
}

export interface CopyParams {
  readonly flags: number;
  readonly dstIoasId: number;
  readonly srcIoasId: number;
  readonly length: bigint;
  readonly dstIova: bigint;
  readonly srcIova: bigint;
}

/** IOMMU_IOAS_COPY: maps what another range maps, sharing its pages. Returns the iova. */
export function ioasCopy(context: IommufdContext, params: CopyParams): bigint {
  const { flags, length, srcIova, dstIova } = params;
  IoptFlags.check(flags);
  for (const value of [length, srcIova, dstIova]) ensure(value < TOP_ADDRESS, 'EOVERFLOW', 'past the end of the space');
  IoptFlags.checkAccess(flags);
  const source = getIoas(context, params.srcIoasId);
  ensure(length > 0n, 'EINVAL', 'empty range');
  ensure(srcIova + length - 1n <= TOP_ADDRESS, 'EOVERFLOW', 'the range wraps');
  const slices = source.slices(srcIova, length);
  const target = getIoas(context, params.dstIoasId);
  return target.copy(
    slices,
    IoptFlags.fixed(flags) ? dstIova : null,
    IoptFlags.readable(flags),
    IoptFlags.writable(flags),
  );
}

/** IOMMU_IOAS_UNMAP. Returns the bytes of the mappings removed. */
export function ioasUnmap(context: IommufdContext, ioasId: number, iova: bigint, length: bigint): bigint {
  const ioas = getIoas(context, ioasId);
  if (iova === 0n && length === TOP_ADDRESS) return ioas.unmap(0n, TOP_ADDRESS);
  ensure(iova < TOP_ADDRESS && length < TOP_ADDRESS, 'EOVERFLOW', 'past the end of the space');
  ensure(length > 0n, 'EINVAL', 'empty range');
  ensure(iova + length - 1n <= TOP_ADDRESS, 'EOVERFLOW', 'the range wraps');
  const removed = ioas.unmap(iova, iova + length - 1n);
  ensure(removed > 0n, 'ENOENT', 'nothing is mapped there');
  return removed;
}

function checkMap({ flags, iova, length }: MapParams): void {
  IoptFlags.check(flags);
  ensure(iova < TOP_ADDRESS && length < TOP_ADDRESS, 'EOVERFLOW', 'past the end of the space');
  IoptFlags.checkAccess(flags);
}

function request({ flags, iova, length }: MapParams) {
  return {
    length,
    iova: IoptFlags.fixed(flags) ? iova : null,
    readable: IoptFlags.readable(flags),
    writable: IoptFlags.writable(flags),
  };
}
