import type { NativeData } from '@iommukit/core';

/** Vendor data whose length is known before its bytes are fetched. */
export interface SizedData extends NativeData {
  readonly length: number;
}

/** No data: type NONE. */
export const NO_DATA: SizedData = { type: 0, length: 0, bytes: new Uint8Array() };

export const sized = ({ type, bytes }: NativeData): SizedData => ({ type, length: bytes.length, bytes });
