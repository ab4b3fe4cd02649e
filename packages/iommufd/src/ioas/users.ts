import type { PagingDomain } from '@iommukit/core';

/** A paging domain that mirrors an IOAS. */
export interface AttachedDomain {
  readonly domain: PagingDomain;
}

/** An in-kernel user of an IOAS. */
export interface AttachedAccess {
  /** Alignment its mappings must keep: a page when it pins. */
  readonly alignment: bigint;
  /** Must drop every pin inside the range before it returns. */
  unmapRange(iova: bigint, length: bigint): void;
}
