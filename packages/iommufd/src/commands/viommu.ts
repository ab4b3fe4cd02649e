import { ensure } from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import type { DeviceObject } from '../objects/device.ts';
import { HwQueue } from '../objects/hw-queue.ts';
import type { HwptPaging } from '../objects/hwpt.ts';
import { VdeviceObject } from '../objects/vdevice.ts';
import { EventQueue, MAX_EVENT_DEPTH } from '../objects/veventq.ts';
import { ViommuObject } from '../objects/viommu.ts';
import type { SizedData } from './native-data.ts';

const MAX_ADDRESS = (1n << 64n) - 1n;

const getDevice = (context: IommufdContext, id: number): DeviceObject => context.get<DeviceObject>(id, 'device');
const getViommu = (context: IommufdContext, id: number): ViommuObject => context.get<ViommuObject>(id, 'viommu');

export interface ViommuAllocParams {
  readonly flags: number;
  readonly type: number;
  readonly deviceId: number;
  readonly hwptId: number;
  readonly data: SizedData;
}

/** IOMMU_VIOMMU_ALLOC. */
export function viommuAlloc(context: IommufdContext, params: ViommuAllocParams): ViommuObject {
  const { type, data } = params;
  ensure(params.flags === 0 && type !== 0, 'EOPNOTSUPP', 'no flags, and a type of some vendor');
  const { device } = getDevice(context, params.deviceId);
  const { driver } = device;
  const known = driver.allocViommu !== undefined && (driver.supportsViommu?.(device.handle, type) ?? true);
  ensure(known, 'EOPNOTSUPP', `no vIOMMU of type ${type} here`);
  const parent = context.get<HwptPaging>(params.hwptId, 'hwpt-paging');
  ensure(parent.nestParent && !parent.automatic, 'EINVAL', 'not a nesting parent');
  ensure(parent.domain.owner === driver, 'EINVAL', 'the parent belongs to another IOMMU');
  const viommu = ViommuObject.create(device, parent, type, data.length === 0 ? null : data);
  return publish(context, viommu);
}

export interface VdeviceAllocParams {
  readonly viommuId: number;
  readonly deviceId: number;
  readonly virtualId: bigint;
}

/** IOMMU_VDEVICE_ALLOC. */
export function vdeviceAlloc(context: IommufdContext, params: VdeviceAllocParams): VdeviceObject {
  ensure(params.virtualId <= MAX_ADDRESS, 'EINVAL', 'the virtual id is wider than 64 bits');
  const viommu = getViommu(context, params.viommuId);
  const device = getDevice(context, params.deviceId);
  return publish(context, VdeviceObject.create(viommu, device, params.virtualId));
}

export interface VeventqAllocParams {
  readonly flags: number;
  readonly viommuId: number;
  readonly type: number;
  /** Events that may wait. */
  readonly depth: number;
}

/** IOMMU_VEVENTQ_ALLOC. The caller must open it, and close it in the end. */
export function veventqAlloc(context: IommufdContext, params: VeventqAllocParams): EventQueue {
  const { type, depth } = params;
  ensure(params.flags === 0 && type !== 0, 'EOPNOTSUPP', 'no flags, and a type of some vendor');
  ensure(depth > 0 && depth <= MAX_EVENT_DEPTH, 'EINVAL', `${depth} events are not 1 … 2^19`);
  const queue = EventQueue.create(getViommu(context, params.viommuId), type, depth);
  try {
    return context.publish(queue);
  } catch (error) {
    queue.close();
    queue.dispose();
    throw error;
  }
}

export interface HwQueueAllocParams {
  readonly flags: number;
  readonly viommuId: number;
  readonly type: number;
  readonly index: number;
  /** In the nesting parent's address space. */
  readonly iova: bigint;
  readonly length: bigint;
}

/** IOMMU_HW_QUEUE_ALLOC. */
export function hwQueueAlloc(context: IommufdContext, params: HwQueueAllocParams): HwQueue {
  const { type, iova, length } = params;
  ensure(params.flags === 0 && type !== 0, 'EOPNOTSUPP', 'no flags, and a type of some vendor');
  ensure(length > 0n, 'EINVAL', 'an empty queue');
  ensure(iova + length - 1n <= MAX_ADDRESS, 'EOVERFLOW', 'the range wraps');
  const viommu = getViommu(context, params.viommuId);
  const { ops } = viommu.viommu;
  const known = ops.createQueue !== undefined && (ops.supportsQueue?.(type) ?? true);
  ensure(known, 'EOPNOTSUPP', `no hardware queue of type ${type}`);
  return HwQueue.create(viommu, params);
}

function publish<T extends ViommuObject | VdeviceObject>(context: IommufdContext, object: T): T {
  try {
    return context.publish(object);
  } catch (error) {
    object.dispose();
    throw error;
  }
}
