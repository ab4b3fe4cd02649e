import { HWPT_DATA_TYPE, INVALIDATE_DATA_TYPE, type NativeData, type NativeInvalidation } from '@iommukit/core';

/** `struct iommu_hwpt_vtd_s1`. */
export interface NestedFields {
  readonly flags?: bigint;
  readonly table: bigint;
  readonly addressWidth?: number;
  readonly reserved?: number;
}

export function nestedData({ flags = 0n, table, addressWidth = 48, reserved = 0 }: NestedFields): NativeData {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, flags, true);
  view.setBigUint64(8, table, true);
  view.setUint32(16, addressWidth, true);
  view.setUint32(20, reserved, true);
  return { type: HWPT_DATA_TYPE.VTD_S1, bytes };
}

/** `struct iommu_hwpt_vtd_s1_invalidate`. */
export interface InvalidationFields {
  readonly address: bigint;
  readonly pages: bigint;
  readonly flags?: number;
  readonly reserved?: number;
}

export const LEAF = 1;
export const ALL_PAGES = (1n << 64n) - 1n;

/** One entry. `entryLength` other than 24 cuts it, or pads it with zeros. */
export function invalidation(fields: InvalidationFields, entryLength = 24): NativeInvalidation {
  const { address, pages, flags = 0, reserved = 0 } = fields;
  const bytes = new Uint8Array(Math.max(24, entryLength));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, address, true);
  view.setBigUint64(8, pages, true);
  view.setUint32(16, flags, true);
  view.setUint32(20, reserved, true);
  return { type: INVALIDATE_DATA_TYPE.VTD_S1, entryLength, entryCount: 1, bytes: bytes.slice(0, entryLength) };
}
