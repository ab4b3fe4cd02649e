import { ensure } from '@iommukit/core';

/** Bytes of the user data of a nested domain. */
export const NESTED_DATA_BYTES = 24;
export const NESTED_FLAG = { SRE: 1, EAFE: 2, WPE: 4 } as const;
const KNOWN_FLAGS = 7n;

/** A guest's first stage, as the VMM read it from the guest's PASID entry. */
export interface NestedData {
  readonly supervisor: boolean;
  readonly extendedAccess: boolean;
  readonly writeProtect: boolean;
  /** Guest-physical address of the first-stage root table. */
  readonly table: bigint;
  /** 48 or 57 where the value is legal. */
  readonly addressWidth: number;
}

/**
 * Reads `{u64 flags; u64 pgtbl_addr; u32 addr_width; u32 reserved}`. EOPNOTSUPP: unknown flags, reserved not zero; EINVAL: another length, a table that is misaligned or not below `limit`. The architecture makes the host
 * refuse guest values that could corrupt the entry (VT-d 9.6); the address width is judged per unit when attaching.
 */
export function parseNestedData(bytes: Uint8Array, limit: bigint): NestedData {
  ensure(bytes.length === NESTED_DATA_BYTES, 'EINVAL', `${bytes.length} bytes of nested data are not 24`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getBigUint64(0, true);
  const table = view.getBigUint64(8, true);
  ensure((flags & ~KNOWN_FLAGS) === 0n, 'EOPNOTSUPP', `unknown nested flags 0x${flags.toString(16)}`);
  ensure(view.getUint32(20, true) === 0, 'EOPNOTSUPP', 'the reserved word of the nested data is not zero');
  ensure((table & 0xfffn) === 0n, 'EINVAL', 'the first-stage table is not 4 KiB aligned');
  ensure(table < limit, 'EINVAL', 'the first-stage table lies outside the parent');
  const has = (flag: number): boolean => (flags & BigInt(flag)) !== 0n;
  return {
    supervisor: has(NESTED_FLAG.SRE),
    extendedAccess: has(NESTED_FLAG.EAFE),
    writeProtect: has(NESTED_FLAG.WPE),
    table,
    addressWidth: view.getUint32(16, true),
  };
}
