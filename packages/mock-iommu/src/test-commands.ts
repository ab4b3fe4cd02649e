import { IommuError } from '@iommukit/core';
import { type Command, command } from '@iommukit/iommufd';
import { TEST_CMD, TEST_CMD_NUMBER, TEST_OP } from './abi.ts';
import type { MockIommu } from './iommu.ts';
import * as access from './ops/access.ts';
import * as checks from './ops/checks.ts';
import * as devices from './ops/devices.ts';
import * as dmaBuf from './ops/dma-buf.ts';
import * as events from './ops/events.ts';
import type { Operation } from './ops/operation.ts';

const OPERATIONS: Readonly<Record<number, Operation | undefined>> = {
  [TEST_OP.ADD_RESERVED]: devices.addReserved,
  [TEST_OP.MOCK_DOMAIN]: devices.mockDomain,
  [TEST_OP.MD_CHECK_MAP]: checks.checkMap,
  [TEST_OP.MD_CHECK_REFS]: checks.checkRefs,
  [TEST_OP.CREATE_ACCESS]: access.createAccess,
  [TEST_OP.DESTROY_ACCESS_PAGES]: access.destroyAccessPages,
  [TEST_OP.ACCESS_PAGES]: access.accessPages,
  [TEST_OP.ACCESS_RW]: access.accessRw,
  [TEST_OP.SET_TEMP_MEMORY_LIMIT]: devices.memoryLimit,
  [TEST_OP.MOCK_DOMAIN_REPLACE]: devices.mockDomainReplace,
  [TEST_OP.ACCESS_REPLACE_IOAS]: access.replaceIoas,
  [TEST_OP.MOCK_DOMAIN_FLAGS]: devices.mockDomain,
  [TEST_OP.DIRTY]: checks.dirty,
  [TEST_OP.MD_CHECK_IOTLB]: checks.checkIotlb,
  [TEST_OP.TRIGGER_IOPF]: events.triggerIopf,
  [TEST_OP.DEV_CHECK_CACHE]: checks.checkCache,
  [TEST_OP.TRIGGER_VEVENT]: events.triggerVevent,
  [TEST_OP.PASID_ATTACH]: devices.pasidAttach,
  [TEST_OP.PASID_REPLACE]: devices.pasidReplace,
  [TEST_OP.PASID_DETACH]: devices.pasidDetach,
  [TEST_OP.PASID_CHECK_HWPT]: devices.pasidCheck,
  [TEST_OP.DMABUF_GET]: dmaBuf.dmaBufGet,
  [TEST_OP.DMABUF_REVOKE]: dmaBuf.dmaBufRevoke,
};

/** IOMMU_TEST_CMD (0x3ba0) over one mock IOMMU, for the `commands` of an IommufdFile. Unknown operation: EOPNOTSUPP. */
export function testCommands(iommu: MockIommu): readonly Command[] {
  const run = command(
    'IOMMU_TEST_CMD',
    TEST_CMD_NUMBER,
    TEST_CMD,
    (call) => {
      const found = OPERATIONS[call.args.op];
      if (!found) throw new IommuError('EOPNOTSUPP', `no test operation ${call.args.op}`);
      return found(call, iommu);
    },
    'last',
  );
  return [run];
}
