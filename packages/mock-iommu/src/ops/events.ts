import { ensure, PAGE_REQUEST_FLAG } from '@iommukit/core';
import { MOCK_TYPE, TRIGGER_IOPF, TRIGGER_VEVENT, VIOMMU_EVENT } from '../abi.ts';
import { findDevice, mockDevice } from './find.ts';
import { operation } from './operation.ts';

/** A device asks for one page, a group by itself. Whether somebody takes it makes no difference to the caller. */
export const triggerIopf = operation(TRIGGER_IOPF, ({ context, iommu, args }) => {
  const { pasid, grpid, perm, addr } = args;
  const device = mockDevice(iommu, findDevice(context, args.dev_id));
  const flags = PAGE_REQUEST_FLAG.LAST_PAGE | (pasid === 0 ? 0 : PAGE_REQUEST_FLAG.PASID_VALID);
  iommu.driver.requestPage(device, { flags, pasid, groupId: grpid, perm, address: addr });
});

/** An event of a device whose guest knows it by a virtual id other than 0. */
export const triggerVevent = operation(TRIGGER_VEVENT, ({ context, iommu, args }) => {
  const { viommu, virtualId } = mockDevice(iommu, findDevice(context, args.dev_id));
  ensure(viommu !== null && virtualId !== 0n, 'ENOENT', 'no guest owns the device');
  const payload = VIOMMU_EVENT.encode({ virt_id: Number(virtualId & 0xffff_ffffn) });
  viommu.report(MOCK_TYPE.VEVENTQ, payload);
});
