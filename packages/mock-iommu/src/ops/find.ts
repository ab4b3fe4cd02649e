import { ensure } from '@iommukit/core';
import type { DeviceObject, HwptNested, HwptPaging, Ioas, IommufdContext } from '@iommukit/iommufd';
import type { MockDevice } from '../device.ts';
import type { MockIommu } from '../iommu.ts';
import type { MockNestedDomain } from '../nested-domain.ts';
import type { MockPagingDomain } from '../paging-domain.ts';
import type { MockStdev } from '../stdev.ts';

/** Lookups of the test operations: ENOENT for an absent id or another type, EINVAL for another vendor's object. */
export const findIoas = (context: IommufdContext, id: number): Ioas => context.get<Ioas>(id, 'ioas');
export const findStdev = (context: IommufdContext, id: number): MockStdev => context.get<MockStdev>(id, 'selftest');
export const findDevice = (context: IommufdContext, id: number): DeviceObject =>
  context.get<DeviceObject>(id, 'device');

export function mockDevice(iommu: MockIommu, { device }: DeviceObject): MockDevice {
  ensure(device.driver === iommu.driver, 'EINVAL', 'not a mock device');
  return device.handle as MockDevice;
}

export function findPaging(context: IommufdContext, iommu: MockIommu, id: number) {
  const hwpt = context.get<HwptPaging>(id, 'hwpt-paging');
  ensure(hwpt.domain.owner === iommu.driver, 'EINVAL', 'not a mock domain');
  return { domain: hwpt.domain, mock: hwpt.domain.ops as MockPagingDomain };
}

export function findNested(context: IommufdContext, iommu: MockIommu, id: number): MockNestedDomain {
  const hwpt = context.get<HwptNested>(id, 'hwpt-nested');
  ensure(hwpt.domain.owner === iommu.driver, 'EINVAL', 'not a mock domain');
  return hwpt.domain.ops as MockNestedDomain;
}
