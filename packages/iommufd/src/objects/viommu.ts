import { type Device, ensure, type HwQueueOps, isIommuError, type NativeData, type Viommu } from '@iommukit/core';
import type { DeviceObject } from './device.ts';
import type { HwQueue } from './hw-queue.ts';
import { HwptNested, type HwptPaging } from './hwpt.ts';
import { IommufdObject } from './object.ts';
import type { VdeviceObject } from './vdevice.ts';
import type { EventQueue } from './veventq.ts';

/** A slice of a physical IOMMU for one guest, over a nesting parent. */
export class ViommuObject extends IommufdObject {
  readonly type = 'viommu';
  readonly viommu: Viommu;
  readonly parent: HwptPaging;
  readonly kind: number;
  /** The guest's devices by virtual id, and event queues by type. */
  readonly vdevices = new Map<bigint, VdeviceObject>();
  readonly eventQueues = new Map<number, EventQueue>();
  readonly queues = new Map<HwQueueOps, HwQueue>();
  /** mmap offsets of the vendor's regions, in its order. */
  readonly offsets: readonly bigint[];

  private constructor(parent: HwptPaging, viommu: Viommu, kind: number) {
    super(parent.context);
    this.viommu = viommu;
    this.parent = parent;
    this.kind = kind;
    this.offsets = this.#exportRegions();
    viommu.ops.onEvent?.((type, payload) => this.#hear(type, payload));
    parent.retain();
  }

  /** EOPNOTSUPP: no such type here; EINVAL: not a nesting parent, or of another unit. */
  static create(device: Device, parent: HwptPaging, kind: number, data: NativeData | null): ViommuObject {
    const { injector } = parent.context;
    injector.use('alloc');
    injector.use('vendor');
    const viommu = parent.domain.allocViommu(device, kind, data);
    try {
      return new ViommuObject(parent, viommu, kind);
    } catch (error) {
      viommu.free();
      throw error;
    }
  }

  /** What the VMM is told about it; empty where the vendor has nothing to say. */
  get replyData(): Uint8Array {
    return this.viommu.ops.reply?.(this.offsets) ?? new Uint8Array();
  }

  /** A nested HWPT from the guest's own table entry. EINVAL: device of another unit; else as the vendor says. */
  allocNested(device: DeviceObject, flags: number, data: NativeData): HwptNested {
    this.context.injector.use('vendor');
    return HwptNested.create(this, this.viommu.allocNested(device.device, data, flags), flags);
  }

  /** Events reach a queue of their type; EOPNOTSUPP when there is none. */
  reportEvent(type: number, payload: Uint8Array): void {
    const queue = this.eventQueues.get(type);
    ensure(queue !== undefined, 'EOPNOTSUPP', `no event queue of type ${type}`);
    queue.report(payload);
  }

  /** What the vendor tells. That there was no memory for it is the reader's to see, not the vendor's. */
  #hear(type: number, payload: Uint8Array): void {
    try {
      this.reportEvent(type, payload);
    } catch (error) {
      if (!isIommuError(error) || error.errno !== 'ENOMEM') throw error;
    }
  }

  dispose(): void {
    this.context.regions.removeAll(this);
    this.viommu.ops.onEvent?.(null);
    this.viommu.free();
    this.parent.release();
  }

  #exportRegions(): bigint[] {
    const { regions } = this.context;
    try {
      return (this.viommu.ops.regions ?? []).map((region) => {
        this.context.injector.use('alloc');
        return regions.add(this, region);
      });
    } catch (error) {
      regions.removeAll(this);
      throw error;
    }
  }
}
