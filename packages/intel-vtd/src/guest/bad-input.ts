import { type BadNative, INVALIDATE_DATA_TYPE, type NativeData, type NativeInvalidation } from '@iommukit/core';
import { ALL_PAGES, invalidation, nestedData } from './user-data.ts';

const GOOD = nestedData({ table: 0x1000n });

const nested = (title: string, errno: string, value: NativeData): BadNative<NativeData> => ({ title, errno, value });

export function badNestedData(): readonly BadNative<NativeData>[] {
  const longer = new Uint8Array(32);
  longer.set(GOOD.bytes);
  return [
    nested('a data type of another vendor', 'EOPNOTSUPP', { ...GOOD, type: 2 }),
    nested('data that is too short', 'EINVAL', { ...GOOD, bytes: GOOD.bytes.slice(0, 16) }),
    nested('data with a zero tail', 'EINVAL', { ...GOOD, bytes: longer }),
    nested('an unknown flag', 'EOPNOTSUPP', nestedData({ table: 0x1000n, flags: 8n })),
    nested('the reserved word not zero', 'EOPNOTSUPP', nestedData({ table: 0x1000n, reserved: 1 })),
    nested('a table that is not 4 KiB aligned', 'EINVAL', nestedData({ table: 0x1001n })),
    nested('a table above any guest memory', 'EINVAL', nestedData({ table: 1n << 60n })),
  ];
}

const bad = (title: string, errno: string, value: NativeInvalidation): BadNative<NativeInvalidation> => {
  return { title, errno, value };
};

export function badInvalidations(): readonly BadNative<NativeInvalidation>[] {
  const good = { address: 0n, pages: 1n };
  return [
    bad('a data type of another vendor', 'EINVAL', { ...invalidation(good), type: INVALIDATE_DATA_TYPE.ARM_SMMUV3 }),
    bad('entries that are too short', 'EINVAL', invalidation(good, 16)),
    bad('entries with a zero tail', 'EINVAL', invalidation(good, 32)),
    bad('an unknown flag', 'EOPNOTSUPP', invalidation({ ...good, flags: 2 })),
    bad('the reserved word not zero', 'EOPNOTSUPP', invalidation({ ...good, reserved: 1 })),
    bad('an address inside a page', 'EINVAL', invalidation({ address: 0x800n, pages: 1n })),
    bad('no page at all', 'EINVAL', invalidation({ address: 0x1000n, pages: 0n })),
    bad('everything, but not from address 0', 'EINVAL', invalidation({ address: 0x1000n, pages: ALL_PAGES })),
    bad('a range past the end of the address space', 'EINVAL', invalidation({ address: 0x2000n, pages: 1n << 52n })),
  ];
}
