import type { Case } from '../case.ts';
import { iommufdAttach } from './iommufd-attach.ts';
import { iommufdInfo } from './iommufd-info.ts';
import { iommufdLifetime } from './iommufd-lifetime.ts';
import { iommufdMap } from './iommufd-map.ts';
import { iommufdNested } from './iommufd-nested.ts';
import { iommufdRandom } from './iommufd-random.ts';
import { iommufdSpace } from './iommufd-space.ts';

/** The user API above the contract, by its typed face and by bytes: what the ioctls say, DMA must see. */
export const iommufd: readonly Case[] = [
  ...iommufdAttach,
  ...iommufdMap,
  ...iommufdSpace,
  ...iommufdLifetime,
  ...iommufdInfo,
  ...iommufdNested,
  ...iommufdRandom,
];
