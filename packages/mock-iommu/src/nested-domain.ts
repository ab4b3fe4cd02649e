import {
  ALLOC,
  type DeviceHandle,
  ensure,
  type InvalidationResult,
  IommuError,
  isIommuError,
  type NativeData,
  type NativeInvalidation,
  type NestedDomainOps,
} from '@iommukit/core';
import { HWPT_INVALIDATE, HWPT_SELFTEST, INVALIDATE_ALL, MOCK_SLOTS, MOCK_TYPE } from './abi.ts';
import type { MockDevice, MockTarget } from './device.ts';
import type { MockLive } from './live.ts';
import { arrayEntry, dataStruct } from './user-data.ts';
import type { MockViommu } from './viommu.ts';

/** A guest's stage 1 that translates nothing: four numbers stand for its cached translations. */
export class MockNestedDomain implements NestedDomainOps, MockTarget {
  readonly kind = 'nested';
  readonly logsWrites = false;
  readonly viommu: MockViommu | null;
  readonly iotlb: Uint32Array;
  readonly #live: MockLive;

  private constructor(value: number, viommu: MockViommu | null, live: MockLive) {
    this.iotlb = new Uint32Array(MOCK_SLOTS).fill(value);
    this.viommu = viommu;
    this.#live = live;
    live.domains++;
  }

  /** EOPNOTSUPP: a flag other than PASID, foreign data; EINVAL: data of another length. */
  static create(flags: number, data: NativeData, viommu: MockViommu | null, live: MockLive): MockNestedDomain {
    ensure((flags & ~ALLOC.PASID) === 0, 'EOPNOTSUPP', `flags ${flags}`);
    ensure(data.type === MOCK_TYPE.HWPT_DATA, 'EOPNOTSUPP', `no data of type ${data.type}`);
    return new MockNestedDomain(dataStruct(HWPT_SELFTEST, data, 'iotlb').iotlb, viommu, live);
  }

  attach(device: DeviceHandle): void {
    (device as MockDevice).attach(this);
  }

  attachPasid(device: DeviceHandle, pasid: number): void {
    (device as MockDevice).attachPasid(pasid, this);
  }

  /** Entry by entry. An empty array asks whether the type is known. */
  invalidate(request: NativeInvalidation): InvalidationResult {
    if (request.type !== MOCK_TYPE.INVALIDATE) return { done: 0, error: new IommuError('EINVAL', 'foreign type') };
    let done = 0;
    try {
      for (; done < request.entryCount; done++) {
        const { flags, iotlb_id } = arrayEntry(HWPT_INVALIDATE, request, done);
        clearSlots(this.iotlb, flags, iotlb_id);
      }
      return { done, error: null };
    } catch (error) {
      if (!isIommuError(error)) throw error;
      return { done, error };
    }
  }

  free(): void {
    this.#live.domains--;
  }
}

/** EOPNOTSUPP: unknown flag; EINVAL: no such slot, also where the flag makes the slot meaningless. */
export function clearSlots(slots: Uint32Array, flags: number, slot: number): void {
  checkSlot(flags, slot);
  if ((flags & INVALIDATE_ALL) !== 0) slots.fill(0);
  else slots[slot] = 0;
}

export function checkSlot(flags: number, slot: number): void {
  ensure((flags & ~INVALIDATE_ALL) === 0, 'EOPNOTSUPP', `flags ${flags}`);
  ensure(slot < MOCK_SLOTS, 'EINVAL', `no slot ${slot}`);
}
