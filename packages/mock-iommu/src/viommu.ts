import {
  type DeviceHandle,
  type DmaPages,
  type ExportedRegion,
  ensure,
  type HwQueueOps,
  type InvalidationResult,
  IommuError,
  isIommuError,
  type NativeData,
  type NativeInvalidation,
  type NestedDomainOps,
  type PagingDomainOps,
  type QueueMemory,
  type ViommuOps,
} from '@iommukit/core';
import { HW_QUEUE_MAX, MOCK_TYPE, VIOMMU_INVALIDATE, VIOMMU_SELFTEST } from './abi.ts';
import type { MockDevice } from './device.ts';
import type { MockLive } from './live.ts';
import { checkSlot, clearSlots, MockNestedDomain } from './nested-domain.ts';
import { dataStruct, wholeArray } from './user-data.ts';

/** Two host pages. */
const REGION_BYTES = 8192;

/** What the mock needs of its driver. */
export interface ViommuHost {
  readonly pages: DmaPages;
  readonly live: MockLive;
}

/** A guest's slice of the mock: ids, device caches, two queues, and a page that echoes what the VMM passed. */
export class MockViommu implements ViommuOps {
  readonly regions: readonly ExportedRegion[];
  readonly #host: ViommuHost;
  readonly #parent: PagingDomainOps;
  readonly #inData: number | null;
  readonly #ids = new Map<DeviceHandle, bigint>();
  readonly #queues: (HwQueueOps | null)[] = new Array(HW_QUEUE_MAX).fill(null);
  #listener: ((type: number, payload: Uint8Array) => void) | null = null;

  /** `data` (optional) asks for the echo page. EINVAL: another length; ENOMEM. */
  constructor(parent: PagingDomainOps, data: NativeData | null, host: ViommuHost) {
    this.#host = host;
    this.#parent = parent;
    this.#inData = data ? dataStruct(VIOMMU_SELFTEST, data, 'out_data').in_data : null;
    this.regions = this.#inData === null ? [] : [echoRegion(this.#inData, host.pages)];
    host.live.viommus++;
  }

  allocNested(_device: DeviceHandle, flags: number, data: NativeData): NestedDomainOps {
    return MockNestedDomain.create(flags, data, this, this.#host.live);
  }

  setVirtualId(device: DeviceHandle, virtualId: bigint): void {
    this.#ids.set(device, virtualId);
  }

  clearVirtualId(device: DeviceHandle): void {
    this.#ids.delete(device);
  }

  /** ENOENT: the guest does not know the device. */
  virtualIdOf(device: DeviceHandle): bigint {
    const id = this.#ids.get(device);
    ensure(id !== undefined, 'ENOENT', 'the device has no virtual id');
    return id;
  }

  /** The array is taken as a whole, then carried out entry by entry. An empty one asks whether the type is known. */
  invalidate(request: NativeInvalidation): InvalidationResult {
    let done = 0;
    try {
      ensure(request.type === MOCK_TYPE.INVALIDATE, 'EINVAL', 'foreign type');
      for (const { flags, vdev_id, cache_id } of wholeArray(VIOMMU_INVALIDATE, request)) {
        checkSlot(flags, cache_id);
        clearSlots(this.#deviceOf(BigInt(vdev_id)).cache, flags, cache_id);
        done++;
      }
      return { done, error: null };
    } catch (error) {
      if (!isIommuError(error)) throw error;
      return { done, error };
    }
  }

  onEvent(listener: ((type: number, payload: Uint8Array) => void) | null): void {
    this.#listener = listener;
  }

  /** EOPNOTSUPP: nobody asked for events of this type. */
  report(type: number, payload: Uint8Array): void {
    if (!this.#listener) throw new IommuError('EOPNOTSUPP', 'nobody listens');
    this.#listener(type, payload);
  }

  reply([offset]: readonly bigint[]): Uint8Array {
    if (this.#inData === null || offset === undefined) return new Uint8Array();
    const out = { out_mmap_offset: offset, out_mmap_length: BigInt(REGION_BYTES) };
    return VIOMMU_SELFTEST.encode({ in_data: this.#inData, out_data: this.#inData, ...out });
  }

  supportsQueue(type: number): boolean {
    return type === MOCK_TYPE.HW_QUEUE;
  }

  /** EINVAL: no such index; EEXIST; EIO: the queue in front is missing; EFAULT: the core found another address than the
   *  parent's table says. */
  createQueue(_type: number, index: number, { iova, pa }: QueueMemory): HwQueueOps {
    ensure(index < HW_QUEUE_MAX, 'EINVAL', `no queue ${index}`);
    ensure(this.#queues[index] === null, 'EEXIST', `queue ${index} is in use`);
    const dependsOn = index > 0 ? this.#queues[index - 1]! : null;
    ensure(index === 0 || dependsOn !== null, 'EIO', `queue ${index - 1} is missing`);
    ensure(this.#parent.iovaToPhys(iova) === pa, 'EFAULT', 'the queue is mapped elsewhere');
    const free = (): void => {
      this.#queues[index] = null;
      this.#host.live.queues--;
    };
    const queue = { dependsOn, free };
    this.#queues[index] = queue;
    this.#host.live.queues++;
    return queue;
  }

  free(): void {
    this.#host.live.viommus--;
    for (const { address } of this.regions) this.#host.pages.free(Number(address));
  }

  #deviceOf(virtualId: bigint): MockDevice {
    for (const [device, id] of this.#ids) if (id === virtualId) return device as MockDevice;
    throw new IommuError('EINVAL', `no device ${virtualId}`);
  }
}

function echoRegion(value: number, pages: DmaPages): ExportedRegion {
  const bytes = new Uint8Array(REGION_BYTES);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return { address: BigInt(pages.alloc(REGION_BYTES)), bytes };
}
