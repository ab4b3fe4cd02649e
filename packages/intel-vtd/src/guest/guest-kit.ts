import type { GuestKit } from '@iommukit/core';
import { badInvalidations, badNestedData } from './bad-input.ts';
import { GuestFirstStage } from './first-stage.ts';

/** What a guest with a virtual VT-d in scalable mode keeps for itself: the first-stage tables, and nothing else. */
export const vtdGuestKit: GuestKit = {
  viommuType: null,
  createStage1: (memory) => new GuestFirstStage(memory),
  badNestedData,
  badInvalidations,
};
