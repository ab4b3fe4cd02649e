import {
  ALLOC,
  ensure,
  type InvalidationResult,
  IommuError,
  isIommuError,
  type NativeInvalidation,
  TOP_ADDRESS,
} from '@iommukit/core';
import type { IommufdContext } from '../context.ts';
import { type BitmapTarget, readDirty } from '../ioas/dirty.ts';
import type { Ioas } from '../ioas/ioas.ts';
import { PAGE_SIZE } from '../iova/iova-space.ts';
import type { DeviceObject } from '../objects/device.ts';
import type { FaultQueue } from '../objects/fault-queue.ts';
import { type AnyHwpt, HwptNested, HwptPaging } from '../objects/hwpt.ts';
import type { ViommuObject } from '../objects/viommu.ts';
import type { SizedData } from './native-data.ts';

/** Flag of GET_DIRTY_BITMAP. */
const NO_CLEAR = 1;
const MAX_ENTRIES = 1 << 19;
const KNOWN_FLAGS = ALLOC.NEST_PARENT | ALLOC.DIRTY_TRACKING | ALLOC.FAULT | ALLOC.PASID;

export interface HwptAllocParams {
  readonly flags: number;
  readonly deviceId: number;
  /** IOAS, nesting parent or vIOMMU. */
  readonly ptId: number;
  readonly data: SizedData;
  /** Counts only with the FAULT flag. */
  readonly faultId: number;
}

/** IOMMU_HWPT_ALLOC. */
export function hwptAlloc(context: IommufdContext, params: HwptAllocParams): AnyHwpt {
  const { flags, data } = params;
  ensure((data.type === 0) === (data.length === 0), 'EINVAL', 'a data type goes with a length');
  const device = context.get<DeviceObject>(params.deviceId, 'device');
  const base = context.table.get(params.ptId);
  const make = base === null ? undefined : MAKERS[base.type];
  ensure(base !== null && make !== undefined, 'EINVAL', `${params.ptId} is nothing to build a page table on`);
  const hwpt = make(base as never, device, flags, data);
  try {
    attachFault(context, hwpt, params);
    return context.publish(hwpt);
  } catch (error) {
    hwpt.dispose();
    throw error;
  }
}

const MAKERS: Readonly<Record<string, (base: never, device: DeviceObject, flags: number, data: SizedData) => AnyHwpt>> =
  {
    ioas: pagingOn,
    'hwpt-paging': nestedOnParent,
    viommu: nestedOnViommu,
  };

function pagingOn(ioas: Ioas, { device }: DeviceObject, flags: number, data: SizedData): HwptPaging {
  const plain = flags === 0 && data.type === 0;
  ensure(plain || !device.driver.plainPagingOnly, 'EOPNOTSUPP', 'the driver takes neither flags nor data');
  ensure((flags & ~KNOWN_FLAGS) === 0, 'EOPNOTSUPP', `unknown flags in ${flags}`);
  const dirty = (flags & ALLOC.DIRTY_TRACKING) === 0 || device.capable('dirty-tracking');
  ensure(dirty, 'EOPNOTSUPP', 'the device does not track dirty pages');
  const both = ALLOC.FAULT | ALLOC.NEST_PARENT;
  ensure((flags & both) !== both, 'EOPNOTSUPP', 'a nesting parent takes no faults');
  const hwpt = HwptPaging.create(ioas, device, { flags: flags & ~ALLOC.FAULT, data: data.type === 0 ? null : data });
  try {
    hwpt.fill();
    return hwpt;
  } catch (error) {
    hwpt.dispose();
    throw error;
  }
}

function nestedOnParent(parent: HwptPaging, device: DeviceObject, flags: number, data: SizedData): HwptNested {
  checkNestedFlags(flags);
  ensure(device.device.driver.allocNested !== undefined, 'EOPNOTSUPP', 'no nested domain on a parent here');
  ensure(data.length > 0, 'EOPNOTSUPP', 'a nested page table needs data');
  const fits = !parent.automatic && parent.nestParent && parent.domain.owner === device.device.driver;
  ensure(fits, 'EINVAL', 'not a nesting parent for this device');
  parent.context.injector.use('vendor');
  const domain = parent.domain.allocNested(device.device, data, flags & ~ALLOC.FAULT);
  return HwptNested.create(parent, domain, flags);
}

function nestedOnViommu(viommu: ViommuObject, device: DeviceObject, flags: number, data: SizedData): HwptNested {
  ensure(viommu.viommu.owner === device.device.driver, 'EINVAL', 'the device sits behind another IOMMU');
  checkNestedFlags(flags);
  ensure(data.length > 0, 'EOPNOTSUPP', 'a nested page table needs data');
  return viommu.allocNested(device, flags & ~ALLOC.FAULT, data);
}

const checkNestedFlags = (flags: number): void =>
  ensure((flags & ~(ALLOC.FAULT | ALLOC.PASID)) === 0, 'EOPNOTSUPP', `unknown flags in ${flags}`);

/** The fault queue is looked up last, as the reference does. */
function attachFault(context: IommufdContext, hwpt: AnyHwpt, { flags, faultId }: HwptAllocParams): void {
  if ((flags & ALLOC.FAULT) !== 0) hwpt.setFault(context.get<FaultQueue>(faultId, 'fault'));
}

const getPaging = (context: IommufdContext, id: number): HwptPaging => context.get<HwptPaging>(id, 'hwpt-paging');

/** IOMMU_HWPT_SET_DIRTY_TRACKING. */
export function setDirtyTracking(context: IommufdContext, hwptId: number, flags: number): void {
  ensure((flags & ~1) === 0, 'EOPNOTSUPP', `unknown flags in ${flags}`);
  const { domain } = getPaging(context, hwptId);
  context.injector.use('vendor');
  domain.setDirtyTracking(flags === 1);
}

export interface DirtyParams {
  readonly hwptId: number;
  readonly flags: number;
  readonly iova: bigint;
  readonly length: bigint;
  /** Bytes one bit stands for. Its lowest set bit counts. */
  readonly pageSize: bigint;
  readonly target: BitmapTarget;
}

/** IOMMU_HWPT_GET_DIRTY_BITMAP. */
export function getDirtyBitmap(context: IommufdContext, params: DirtyParams): void {
  const { flags, iova, length, pageSize, target } = params;
  ensure((flags & ~NO_CLEAR) === 0, 'EOPNOTSUPP', `unknown flags in ${flags}`);
  const hwpt = getPaging(context, params.hwptId);
  const nothing = length === 0n && iova === 0n;
  ensure(nothing || (length > 0n && iova + length - 1n <= TOP_ADDRESS), 'EOVERFLOW', 'the range wraps');
  const bits = iova | (iova + length);
  ensure(bits % hwpt.ioas.space.alignment === 0n, 'EINVAL', 'the range is not aligned');
  ensure(pageSize > 0n && (bits & (pageSize - 1n)) === 0n, 'EINVAL', 'the range is no multiple of the page size');
  ensure(hwpt.domain.ops.readAndClearDirty !== undefined, 'EOPNOTSUPP', 'no dirty tracking here');
  if (nothing) return;
  const keep = (flags & NO_CLEAR) !== 0;
  readDirty(hwpt.ioas, hwpt.domain, { iova, length, pageSize: pageSize & -pageSize, target, keep });
}

/** Native invalidation entries that are fetched after the request was checked. */
export interface InvalidationArray {
  readonly type: number;
  /** Bytes of one entry as the caller lays them out. */
  readonly entryLength: number;
  readonly entryCount: number;
  /** False: no pointer was given. */
  readonly present: boolean;
  /** The bytes; fewer when a fault stops them. ENOMEM. */
  fetch(): Uint8Array;
}

/** An array that is at hand already. */
export const nativeArray = (request: NativeInvalidation): InvalidationArray => ({
  ...request,
  present: true,
  fetch: () => request.bytes,
});

/** IOMMU_HWPT_INVALIDATE on a nested HWPT or a vIOMMU. The result says how many entries were carried out, also on failure. */
export function hwptInvalidate(context: IommufdContext, id: number, array: InvalidationArray): InvalidationResult {
  try {
    checkArray(array);
    const object = context.any(id);
    if (object.type === 'viommu') return invalidateViommu(object as ViommuObject, array);
    ensure(object.type === 'hwpt-nested', 'EINVAL', `a ${object.type} has no native caches`);
    return invalidateNested(object as HwptNested, array);
  } catch (error) {
    if (!isIommuError(error)) throw error;
    return { done: 0, error };
  }
}

function checkArray({ entryLength, entryCount, present }: InvalidationArray): void {
  if (entryCount === 0) return;
  ensure(present && entryLength > 0 && entryLength <= Number(PAGE_SIZE), 'EINVAL', 'no entries, or of absurd length');
  ensure(entryCount <= MAX_ENTRIES, 'EINVAL', `${entryCount} entries are more than 2^19`);
}

/** Commands of a vIOMMU are taken as a whole: a fault anywhere carries out none. */
function invalidateViommu({ viommu, context }: ViommuObject, array: InvalidationArray): InvalidationResult {
  const bytes = array.fetch();
  ensure(bytes.length === array.entryLength * array.entryCount, 'EFAULT', 'the entries cannot be read');
  context.injector.use('vendor');
  return viommu.invalidate(requestOf(array, bytes));
}

/** Entries of a nested domain are taken one by one: those in front of a fault are carried out. */
function invalidateNested({ domain, context }: HwptNested, array: InvalidationArray): InvalidationResult {
  ensure(domain.ops.invalidate !== undefined, 'EOPNOTSUPP', 'this domain is invalidated through its vIOMMU');
  const bytes = array.fetch();
  context.injector.use('vendor');
  const result = domain.invalidate(requestOf(array, bytes));
  const whole = bytes.length === array.entryLength * array.entryCount;
  if (result.error || whole) return result;
  return { done: result.done, error: new IommuError('EFAULT', 'the entries cannot be read') };
}

const requestOf = ({ type, entryLength }: InvalidationArray, bytes: Uint8Array): NativeInvalidation => ({
  type,
  entryLength,
  entryCount: entryLength === 0 ? 0 : bytes.length / entryLength,
  bytes,
});
