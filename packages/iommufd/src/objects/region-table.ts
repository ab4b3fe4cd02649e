import { type ExportedRegion, ensure, IommuError } from '@iommukit/core';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import type { MappedRegion } from '../uapi/open-file.ts';
import type { IommufdObject } from './object.ts';

const PROT_EXEC = 4;
const MAP_SHARED = 1;

interface Export {
  readonly offset: bigint;
  readonly length: bigint;
  readonly region: ExportedRegion;
  readonly owner: IommufdObject;
}

/** Parts of units that a VMM maps into its guest, under made-up file offsets. */
export class RegionTable {
  /** Ascending by offset. */
  #exports: Export[] = [];

  /** Finds a place for a region, the first page never. EINVAL: address or length are no whole pages. */
  add(owner: IommufdObject, region: ExportedRegion): bigint {
    const length = BigInt(region.bytes.length);
    ensure(length > 0n && (region.address | length) % PAGE_SIZE === 0n, 'EINVAL', 'a region is whole pages');
    let offset = PAGE_SIZE;
    const after = this.#exports.findIndex((next) => {
      if (offset + length <= next.offset) return true;
      offset = next.offset + next.length;
      return false;
    });
    this.#exports.splice(after < 0 ? this.#exports.length : after, 0, { offset, length, region, owner });
    return offset;
  }

  removeAll(owner: IommufdObject): void {
    this.#exports = this.#exports.filter((entry) => entry.owner !== owner);
  }

  /** EINVAL: no whole pages, or private; EPERM: executable; ENXIO: not exactly one region. Holds the owner. */
  map(offset: bigint, length: bigint, prot: number, flags: number): MappedRegion {
    ensure(length > 0n && length % PAGE_SIZE === 0n, 'EINVAL', 'no whole pages');
    ensure((flags & MAP_SHARED) !== 0, 'EINVAL', 'only shared mappings');
    ensure((prot & PROT_EXEC) === 0, 'EPERM', 'never executable');
    const found = this.#exports.find((entry) => entry.offset === offset && entry.length === length);
    if (!found) throw new IommuError('ENXIO', 'no region has that offset and length');
    const { owner, region } = found;
    owner.retain();
    let mapped = true;
    const unmap = (): void => {
      if (mapped) owner.release();
      mapped = false;
    };
    return { bytes: region.bytes, unmap };
  }
}
