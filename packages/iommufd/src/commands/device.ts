import { ensure } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { DeviceObject } from '../objects/device.ts';
import { FaultQueue } from '../objects/fault-queue.ts';

/** Bits of IOMMU_GET_HW_INFO's out_capabilities. The last one says what is missing, not what is there. */
export const HW_CAPABILITY = { DIRTY_TRACKING: 1n, PASID_EXEC: 2n, PASID_PRIV: 4n, ATS_NOT_SUPPORTED: 8n } as const;

const INPUT_TYPE = 1;

export interface HwInfo {
  readonly type: number;
  readonly bytes: Uint8Array;
  /** log2 of the number of PASIDs, rounded down; 0 = none. */
  readonly maxPasidLog2: number;
  readonly capabilities: bigint;
}

/** IOMMU_GET_HW_INFO. `type` counts only with the INPUT_TYPE flag. EOPNOTSUPP: the vendor has no such type. */
export function getHwInfo(context: IommufdContext, deviceId: number, flags = 0, type = 0): HwInfo {
  ensure((flags & ~INPUT_TYPE) === 0, 'EOPNOTSUPP', `unknown flags in ${flags}`);
  const { device } = context.get<DeviceObject>(deviceId, 'device');
  context.injector.use('vendor');
  // A vendor with nothing to show knows no types either: NONE, whatever was asked for.
  const own = device.hwInfo();
  const info = own && (flags & INPUT_TYPE) !== 0 ? device.hwInfo(type) : own;
  return {
    type: info?.type ?? 0,
    bytes: info?.bytes ?? new Uint8Array(),
    maxPasidLog2: device.maxPasids > 0 ? 31 - Math.clz32(device.maxPasids) : 0,
    capabilities: capabilitiesOf(device),
  };
}

function capabilitiesOf(device: DeviceObject['device']): bigint {
  const { pasidExec = false, pasidPriv = false } = device.description;
  const pasids = device.maxPasids > 0;
  let bits = 0n;
  if (device.capable('dirty-tracking')) bits |= HW_CAPABILITY.DIRTY_TRACKING;
  if (pasids && pasidExec) bits |= HW_CAPABILITY.PASID_EXEC;
  if (pasids && pasidPriv) bits |= HW_CAPABILITY.PASID_PRIV;
  if (!device.capable('pci-ats')) bits |= HW_CAPABILITY.ATS_NOT_SUPPORTED;
  return bits;
}

/** IOMMU_FAULT_QUEUE_ALLOC. The caller must open it, and close it in the end. */
export function faultQueueAlloc(context: IommufdContext, flags = 0): FaultQueue {
  ensure(flags === 0, 'EOPNOTSUPP', 'FAULT_QUEUE_ALLOC has no flags');
  const queue = FaultQueue.create(context);
  try {
    return context.publish(queue);
  } catch (error) {
    queue.close();
    queue.dispose();
    throw error;
  }
}
