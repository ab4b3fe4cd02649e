import type { Case } from '../case.ts';
import { attach } from './attach.ts';
import { dirty } from './dirty.ts';
import { failure } from './failure.ts';
import { fault } from './fault.ts';
import { group } from './group.ts';
import { information } from './information.ts';
import { invalidation } from './invalidation.ts';
import { iommufd } from './iommufd.ts';
import { isolation } from './isolation.ts';
import { lifecycle } from './lifecycle.ts';
import { map } from './map.ts';
import { nativeInvalidation } from './native-invalidation.ts';
import { nested } from './nested.ts';
import { sizes } from './page-sizes.ts';
import { pasid } from './pasid.ts';
import { permission } from './permission.ts';
import { random } from './random.ts';
import { replace } from './replace.ts';
import { reserved } from './reserved.ts';
import { specOf } from './specs.ts';
import { unmap } from './unmap.ts';

/** The shared suite, in the order a new vendor turns it green. */
const suite: readonly Case[] = [
  ...lifecycle,
  ...attach,
  ...replace,
  ...group,
  ...map,
  ...permission,
  ...unmap,
  ...sizes,
  ...invalidation,
  ...isolation,
  ...fault,
  ...reserved,
  ...information,
  ...pasid,
  ...dirty,
  ...nested,
  ...nativeInvalidation,
  ...failure,
  ...random,
  ...iommufd,
];

/** The same, each with the places in the manuals that it follows from. */
export const cases: readonly Case[] = suite.map((one) => {
  const spec = specOf(one.id);
  return spec === undefined ? one : { ...one, spec };
});
