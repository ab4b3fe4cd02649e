import type { IoptPages } from '../pages/pages.ts';

/** One mapping of an IOAS: an IOVA interval over a slice of shared pages. */
export interface Area {
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly pages: IoptPages;
  /** Byte offset of `start` in the pages. */
  readonly offset: bigint;
  /** Pins that in-kernel users hold inside. */
  pins: number;
  /** Hardware queues that live inside; the area cannot be unmapped meanwhile. */
  locks: number;
  /** Stops watching memory that its exporter may take back. */
  unwatch?: (() => void) | undefined;
}

export const lengthOf = (area: Area): bigint => area.last - area.start + 1n;
