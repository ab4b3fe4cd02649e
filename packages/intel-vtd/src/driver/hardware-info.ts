import { HW_INFO_TYPE, type NativeData } from '@iommukit/core';
import type { Features } from './features.ts';

/** Erratum 772415: no read-only mapping in a nesting parent. Always announced, as the reference driver does. */
const ERRATA_772415 = 1;

/** `{u32 flags; u32 reserved; u64 cap_reg; u64 ecap_reg}`, the registers unmasked. */
export function hardwareInfo({ capWord, ecapWord }: Features): NativeData {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ERRATA_772415, true);
  view.setBigUint64(8, capWord, true);
  view.setBigUint64(16, ecapWord, true);
  return { type: HW_INFO_TYPE.INTEL_VTD, bytes };
}
