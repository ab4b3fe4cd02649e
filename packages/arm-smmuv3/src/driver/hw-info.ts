import { wordsToBytes } from '@iommukit/bits';
import { HW_INFO_TYPE, type NativeData } from '@iommukit/core';
import type { Features } from './features.ts';

/** flags, reserved, IDR0..IDR5, IIDR, AIDR: the registers as they are. */
export const hwInfo = ({ raw }: Features): NativeData => ({
  type: HW_INFO_TYPE.ARM_SMMUV3,
  bytes: wordsToBytes([0, 0, ...raw]),
});
